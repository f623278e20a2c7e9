"""The toy exercise as a table and a drawing.

In: results of `sae_core.toy`. Out: text and SVG. Called by the command `toy`.
"""
