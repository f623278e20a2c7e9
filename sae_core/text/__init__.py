"""Text of every kind as documents, and documents as tokens in windows.

In: the name of a text (the Python standard library, a file or folder of text, JSON lines, Parquet
or Arrow, a token array, a data set of the Hub) and a model's tokenizer. Out: a `TokenizedCorpus`,
encoded once and then read from disk, and its `Windows`, which never cross a document. Texts are
read piece by piece, and no further than asked. Called by the jobs, through `reading.read`: they
harvest, evaluate, verify, train and sweep.
"""
