"""Work on a dictionary that has been harvested: its evaluation, its map, its meaning, a check.

In: a store with the dictionary in it, and for most the files of model and dictionary.
Out: figures, places or vectors in the store; of a verification what differs. Called by commands.
"""
