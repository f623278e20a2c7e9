"""Lists of features at /lists/NAME: stars and whatever else people put together.

In: forms, JSON, and the store. Out: HTML, CSV and JSON. Called by `app/application.py`.
"""
