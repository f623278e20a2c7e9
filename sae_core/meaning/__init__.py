"""The meaning of short texts as vectors: sentence models, and a search among many vectors.

In: texts. Out: vectors of length 1. Used by `app/jobs`, by the worker, and, without torch, by
`app/web`.
"""
