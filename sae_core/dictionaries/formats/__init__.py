"""Dictionaries of other people's making: a reader for each published format.

`sae_core.dictionaries.formats.opening.open_dictionary` recognises the format and opens it; the
counterpart that writes our own is `sae_core.dictionaries.checkpoint`.
"""
