"""Alarms with a false-positive rate that is known: levels of texts, thresholds, watched answers.

In: a model, a dictionary, what is watched, texts. Out: levels, thresholds with intervals, alarms.
Called by jobs and the worker; `monitor`, `threshold` and `labelled` need no torch.
"""
