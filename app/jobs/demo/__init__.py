"""The bundled demo: what it holds, and how it was made.

In: the folder `demo/` and Python's standard library. Out: a harvested store, or a model, its
dictionaries and their card made anew. Called by the commands `demo` and `demo-train`.
"""
