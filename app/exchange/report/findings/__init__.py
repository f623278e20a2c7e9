"""What a report can claim, a module for each kind.

In: the store and a name; or a finding of a report and another store. Out: the finding; or the same
figures, computed again. Called by `app/exchange/report`.
"""
