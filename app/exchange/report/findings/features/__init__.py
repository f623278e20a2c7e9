"""Findings about features by themselves: figures and contexts, labels, lists.

In: the store and a name; or a finding of a report and another store. Out: the finding; or the same
figures, computed again. Called by `findings/kinds.py`.
"""
