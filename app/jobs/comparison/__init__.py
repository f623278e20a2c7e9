"""`featurescope compare`: what dictionaries have in common.

In: dictionaries of the store, by name, and a text. Out: a comparison in the store, written at once.
Called by the command; `demo` trains the dictionaries that show it first.
"""
