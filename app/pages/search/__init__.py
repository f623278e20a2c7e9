"""The search at /search: features of all dictionaries, or of one, by whatever is typed.

In: a text. Out: HTML with the hits of each kind, whole or as the parts that the box in every header
asks for, and the same as JSON. Called by `app/application.py`.
"""
