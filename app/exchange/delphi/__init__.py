"""Explanations and scores as delphi 0.1 keeps them: a folder with a file for each feature.

In: explanations of the store, or such a folder. Out: the other.
Called by `app/cli/commands/store/export.py` and `import_.py`.
"""
