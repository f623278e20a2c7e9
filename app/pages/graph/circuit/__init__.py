"""Circuits of tasks at /m/MODEL/circuit/NAME: responsible features, and the model without them.

In: the store. Out: HTML and JSON. Called by `app/application.py` and the command line.
"""
