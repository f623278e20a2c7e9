"""Labels written by a language model behind an endpoint, and what they are worth.

In: a dictionary of the store with its text, an OpenAI-compatible endpoint. Out: explanations and
scores in the store, each beside a shuffled label's and a null's.
Called by `app/cli/commands/studying/explain.py`.
"""
