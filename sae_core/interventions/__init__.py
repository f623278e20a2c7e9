"""What changes when features are removed, added or traced.

In: a prompt and features. Out: effects of ablation, responsibilities for a prediction, and
steered text. Called by the worker for pages, and by the harvest for stored ablations.
"""
