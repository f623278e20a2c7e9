"""One pass over a text that describes every feature of a dictionary.

In: a language model, a dictionary and a tokenized corpus. Out: one torch-free record a feature
(`records.py`): contexts, histograms, logit weights, neighbours. Called by the harvest job, which
publishes the records in the store.
"""
