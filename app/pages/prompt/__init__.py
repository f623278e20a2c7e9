"""A prompt at /m/MODEL/prompt: which features fire, where, why, which are responsible.

In: an address; the worker's readings, remembered by `app/worker/client`. Out: HTML, streams and
JSON. Called by `app/application.py`.
"""
