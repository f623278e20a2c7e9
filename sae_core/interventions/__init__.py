"""What changes when features are removed, added or traced.

In: a language model, dictionaries, the tokens of a prompt, and the features in question. Out: a
short step at a time, what ablating a feature changes (`ablation`), which features a prediction
hangs on (`attribution`), which tokens a feature hangs on (`occlusion`), steered text with its
traits (`generation`, `traits`), and responses to rising strengths (`dose_response`). Called by the
jobs of the worker's process, which answers pages and the JSON interface, and by the harvest, which
stores some ablations beforehand.
"""
