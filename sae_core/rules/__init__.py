"""Rules: for each feature a small predicate over tokens that says where it fires, and how well.

In: tokens, a vocabulary's bytes and a feature's firings. Out: a predicate that can be executed on
any tokens, as a sentence and as JSON, with its figures on documents that were held out, beside the
best single token and the same learner's result on shuffled firings. NumPy alone: no torch, no web,
no database. Called by `app/jobs/harvest`, and by whoever executes a stored predicate.
"""
