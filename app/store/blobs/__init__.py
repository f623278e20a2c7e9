"""Records as bytes, and back.

In: records of features and windows. Out: compressed blobs that are the same for the same record.
Called by `app/store/tables`.
"""
