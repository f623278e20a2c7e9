"""From a model, a dictionary and a text to a dictionary that can be browsed.

In: what a user points at, opened and tried. Out: one published harvest in the store. Called by the
commands `add`, `harvest` and `demo`.
"""
