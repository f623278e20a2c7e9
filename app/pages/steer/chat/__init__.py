"""Conversations at /m/MODEL/chat: answers side by side, traits, and cues that avoid a feature.

In: an address or a JSON question; the model's template; the worker's answers. Out: HTML, streams
and JSON. Called by `app/application.py`.
"""
