"""Reports of an audit that somebody else can check: one JSON and one page, signed.

In: findings of the store, by name. Out: files; and, of a file, whether it is as it was signed and
which of its figures come out the same from another store's model, dictionary and text. Called by
the commands `report` and `verify-report`.
"""
