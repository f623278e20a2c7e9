"""What pages say in words: a feature in one line, and what the terms mean.

In: figures of a feature. Out: sentences, plain and as HTML. Called by the rooms of `app/pages`, by
`app/rendering/feature.py` and `app/exchange`.
"""
