"""The English demo: a chat model of 135 million parameters, and dictionaries trained for it here.

In: a pinned package with the model's GGUF file, and `demo/english/`: text that the model wrote, and
two dictionaries. Out: the model's folder below the home folder, a harvested store, or text,
dictionaries and their card made anew. Called by the commands `demo --english` and
`demo-train --english`.
"""
