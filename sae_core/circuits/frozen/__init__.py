"""The frozen model of one prompt: linear, so that every edge is exact.

In: a language model, a prompt's tokens, dictionaries. Out: all that fires, and edges into any of
it. Called by `build` and `check`.
"""
