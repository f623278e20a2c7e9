"""Finding features by words and by tokens, on both databases alike.

In: what was typed, as `WordQuery`, or ids of tokens. Out: features with the texts that fit, and
where in them. `word_index` keeps the words of labels, notes and rules in step, in the transaction
that writes them. Called by `Store`, whose `search` is `FeatureFinder`, and by whoever writes.
"""
