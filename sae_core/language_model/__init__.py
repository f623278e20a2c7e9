"""The language model: loaded once, read and changed at hook points, run on from there.

In: a model's folder and token numbers. Out: activations, hidden states, logits, the bytes behind
each token. Called by every room of `sae_core` that needs a forward pass; `architecture` says where
models have their parts, and is the only importer of transformer_lens.
"""
