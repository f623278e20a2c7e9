"""Automata of features at /d/MODEL/DICTIONARY/automata: who writes the token that the next reads.

In: a request, the store, the worker's events. Out: HTML, JSON, and a check while it is made. Called
by `app/application.py` and the command `featurescope automata`.
"""
