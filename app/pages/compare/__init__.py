"""What dictionaries have in common: comparisons, pairs, trees of splitting, a feature's twins.

In: comparisons of the store. Out: their pages and JSON. Called by `app/application.py`.
"""
