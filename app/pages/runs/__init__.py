"""Trainings at /runs: live, and side by side.

In: a request and the store. Out: HTML and JSON. Called by `app/application.py`.
"""
