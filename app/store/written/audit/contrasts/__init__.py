"""Contrasts of two sets of texts.

In: what a job tested. Out: the same, by name, until it is forgotten. Called by `Store`, whose
`audit.contrasts` is `TextContrasts`.
"""
