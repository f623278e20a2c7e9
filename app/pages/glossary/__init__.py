"""The glossary at /glossary: what the terms on the pages mean.

In: a request. Out: HTML and JSON, the same for every store. Called by `app/application.py`.
"""
