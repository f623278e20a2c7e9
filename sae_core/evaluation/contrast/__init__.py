"""What tells two sets of texts apart: features, and a probe on the raw activation.

In: activations pooled over texts, and which texts are of which set. Out: features with their areas,
tested on texts that did not choose them. Called by the search by example and by jobs; needs no
torch.
"""
