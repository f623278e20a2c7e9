"""Contrasts of two sets of texts at /contrast/NAME: telling features, beside a linear probe.

In: the store. Out: HTML and JSON. Called by `app/application.py` and the command line.
"""
