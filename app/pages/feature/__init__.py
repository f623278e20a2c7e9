"""A feature at /d/MODEL/DICTIONARY/NUMBER: its contexts, figures and live test.

In: a request, the store, and the worker for ablations that are not stored. Out: HTML and JSON.
Called by `app/application.py`.
"""
