"""Answers that arrive while the worker computes them: its events, passed on to a browser.

In: a stream of the worker. Out: server-sent events, or one JSON document a line. Called by the
pages of prompts and of steering.
"""
