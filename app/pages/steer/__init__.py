"""Steering at /m/MODEL/steer: sliders, and steered text beside unsteered.

In: an address or a JSON question; the worker's streams. Out: HTML, streams and JSON. Called by
`app/application.py`.
"""
