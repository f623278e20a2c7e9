"""Sweeps at /sweeps/NAME: which architecture, sparsity and size is best.

In: a request and the store. Out: HTML and JSON. Called by `app/application.py`.
"""
