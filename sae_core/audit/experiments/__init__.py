"""Experiments: the same prompts under several edits of the model, and what differs.

In: prompts as tokens, arms (edits of the model), outcomes. Out: texts of every arm under the same
random numbers, figures with intervals over prompts, tests corrected for their number, and what else
the edits change (`side_effects`). Called by the job of experiments; `texts`, `controls` and
`neutral` need torch, the others do not.
"""
