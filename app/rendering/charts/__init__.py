"""Figures as SVG: histograms, curves, bars.

In: counts and numbers. Out: markup that templates place. Called by `app/rendering/feature.py` and
by the rooms of `app/pages`.
"""
