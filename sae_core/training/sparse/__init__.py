"""Sparse codes of a batch: choosing them, and multiplying with them.

In: pre-activations and weights. Out: positions and values of the active features, and products
that cost only these. Called by the training methods.
"""
