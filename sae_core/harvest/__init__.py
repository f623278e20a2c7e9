"""One pass over a text that describes every feature of a dictionary.

In: a language model, a dictionary and a tokenized corpus. Out: one torch-free record for each
feature (`records`), with its contexts, histograms, logit weights and neighbours; on the way there,
on disk, a log of all firings (`firing_log`) that a killed harvest goes on from. Called by the
harvest job, which publishes the records in the store, by `add`, which first asks whether a
dictionary fits its model (`fit_check`), and by `verify`, which computes stored figures again
(`recomputation`).
"""
