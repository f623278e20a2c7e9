"""Features through a model's training at /over-training/NAME.

In: the store. Out: HTML and JSON. Called by `app/application.py` and the command line.
"""
