"""Experiments at /experiments/NAME: arms by outcomes, texts side by side, side effects.

In: the store. Out: HTML, JSON and CSV. Called by `app/application.py` and the command line.
"""
