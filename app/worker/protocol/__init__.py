"""Every message between the web process and the worker.

Frozen pydantic types, and arrays as bytes. No torch, no model, nothing of `app` but its errors.
"""
