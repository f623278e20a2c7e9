"""Circuits of tasks: found by a command, kept in the store.

In: a task's prompts, and the dictionaries of a model. Out: a circuit in the store, with what the
model can do without it. Called by the command line.
"""
