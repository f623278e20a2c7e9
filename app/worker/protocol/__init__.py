"""Every message between the web process and the worker.

In: what the web process asks, as a request. Out: what the worker answers, as a stream of events.
Frozen pydantic types, arrays as bytes, and what a client that leaves ends: no torch, no model,
nothing of `app` but its errors.
Called by `app/worker/client` and `app/worker/process`, which share nothing else.
"""
