"""Finite-state automata: features whose logits write tokens on which other features fire next.

In: kept text, what fires on each of its tokens, and the tokens that features write; for a check a
model and its dictionary. Out: steps from feature to feature with support, lift and a test, the
small automata that they make, and what steering one feature does to the firing of the next.
Called by `app/jobs/circuits`, and the check by the worker. `mining` and `shapes` need no torch.
"""
