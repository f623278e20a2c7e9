"""Dictionaries of other people's making: a reader for each published format.

In: a file or folder. Out: one of our own dictionaries. Called by
`sae_core.dictionaries.formats.opening.open_dictionary`, which recognises the format; the
counterpart that writes our own is `sae_core.dictionaries.checkpoint`.
"""
