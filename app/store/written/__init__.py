"""What people write: labels with their history and votes, comments, lists of features.

In: checked texts. Out: views of `app/store/types/annotations.py`, and the column of labels that
tables sort by. Called by `Store`, which holds `Labels`, `Comments` and `FeatureLists`, and by
publication and bundles, which fill that column.
"""
