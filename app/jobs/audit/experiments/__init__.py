"""Experiments: many prompts under several edits of the model, compared.

In: a plan. Out: an experiment in the store, and a file with all that it takes to run it again.
Called by the command `experiment`.
"""
