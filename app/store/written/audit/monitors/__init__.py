"""Monitors and their alarms.

In: what a job calibrated, and alarms as they are raised. Out: the same, by name, until it is
forgotten. Called by `Store`, whose `audit.monitors` is `KeptMonitors`.
"""
