"""Blind ratings, at /rate: studies, what a rater sees of a feature, and results.

In: forms and JSON. Out: pages on which nothing tells whose a feature is until a rater asks for the
results, and JSON. Called by `app/application.py`.
"""
