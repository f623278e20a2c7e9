"""Work that gathers evidence about features: contrasts of texts.

In: a store with the dictionary in it, the files of model and dictionary, texts. Out: results in the
store. Called by commands.
"""
