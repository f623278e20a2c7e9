"""Dictionaries: sparse autoencoders of every architecture and every published format.

In: a folder or file of weights, and activations of a language model. Out: sparse codes of
features and reconstructions. Called by harvest, interventions, evaluation and training.
"""
