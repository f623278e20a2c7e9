"""Automata of features, and what steering says of their steps.

In: what was mined from a dictionary's kept text. Out: the same, until another harvest is published.
Called by `Store`, whose `search.automata` is `FeatureAutomata`.
"""
