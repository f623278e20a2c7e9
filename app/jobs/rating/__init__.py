"""A language model behind an endpoint as a blind rater.

In: a study of the store, an OpenAI-compatible endpoint. Out: ratings in the store, and a reason for
each answer that is none. Called by `app/cli/commands/studying/rate.py`.
"""
