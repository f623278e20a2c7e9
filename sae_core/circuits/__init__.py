"""Circuits: which features make which others fire, and in the end the model's prediction.

In: a language model, the tokens of one prompt, dictionaries (or bare neurons). Out: attribution
graphs as plain arrays, their scores, and what ablations say of them. Called by the worker and by
jobs; `graph` and `influence` need no torch and are read by the web process, too.
"""
