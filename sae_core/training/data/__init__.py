"""Activations to train on, as shuffled and numbered batches.

In: a language model, a hook point and text. Out: batches that depend on the seed and the step
alone. Called by the trainer and by sweeps.
"""
