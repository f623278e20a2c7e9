"""Monitors at /monitors/NAME: what they watch, what can be promised, alarms, and a text tried.

In: the store; the worker's levels of a text. Out: HTML and JSON. Called by `app/application.py` and
the command line.
"""
