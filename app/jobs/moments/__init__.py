"""A dictionary's features through the training of its model.

In: a harvested dictionary and the model's checkpoints. Out: when its features appear, in the store.
Called by the command line.
"""
