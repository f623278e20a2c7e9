"""Circuits of a task: features that many prompts with a right and a wrong answer owe it to.

In: a language model, dictionaries (or bare neurons), prompts of one kind. Out: the features that
are responsible, and what the model can do without them, beside random ones. Called by jobs.
"""
