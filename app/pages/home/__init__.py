"""Home at /: models, their dictionaries, harvests that are running.

In: a request and the store. Out: HTML and JSON. Called by `app/application.py`.
"""
