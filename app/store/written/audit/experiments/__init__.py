"""Experiments: what was asked, every text of every arm, and the figures.

In: what a job measured. Out: the same, by name, a page of texts at a time, until it is forgotten.
Called by `Store`, whose `audit.experiments` is `Experiments`.
"""
