"""What tells two sets of texts apart: features, and a probe on the raw activation.

In: texts, or activations pooled over them, in two sets. Out: features with their areas,
tested on texts that did not choose them. Called by the search by example and by jobs; only
`pooling` needs torch.
"""
