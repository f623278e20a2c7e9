"""Monitors beside the worker: what it is told to watch, and what its alarms become.

In: monitors of the store, alarms. Out: requests' parts; alarms in the store, in the log, and at a
webhook. Called by pages and by `featurescope watch`.
"""
