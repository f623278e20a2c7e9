"""A dictionary at /d/MODEL/DICTIONARY: its table, its making, its evaluation.

In: a request and the store. Out: HTML and JSON. Called by `app/application.py`.
"""
