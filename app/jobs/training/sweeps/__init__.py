"""Many trainings on the same activations, compared.

In: a plan. Out: trained dictionaries and a folder of results, which the pages of sweeps read.
Called by the command `sweep`.
"""
