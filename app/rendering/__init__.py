"""How things look, whatever the page: tokens, contexts, numbers, plots, addresses.

In: values of the store and of `sae_core`. Out: markup and text. Called by pages, exports and
reports; imports no page.
"""
