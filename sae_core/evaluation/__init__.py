"""How good a dictionary is, measured on text.

In: a language model, a dictionary and documents. Out: losses, fit, sparsity and intervals, as
frozen types without torch. Called by the jobs `evaluate`, `harvest` and `sweep`.
"""
