"""Toy data whose true directions are known, to try training methods on.

In: a recipe and a seed. Out: data, trained dictionaries, and how many directions each one found.
Called by the command `toy`.
"""
