"""How models are built: where their parts lie, and whether they do there what they should.

In: a Hugging Face model. Out: its blocks, hook points, norms and body by name, and of each hook
point whether it can be used. Called by `sae_core.language_model` alone, which loads models.
"""
