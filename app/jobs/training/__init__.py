"""A dictionary's training: its folder, its rows in the store, its resumption.

In: a model, a text and a configuration. Out: a dictionary on disk. Called by the commands `train`,
`sweep` and `demo-train`.
"""
