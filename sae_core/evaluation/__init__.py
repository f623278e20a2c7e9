"""How good a dictionary is, measured on text.

In: a language model, a dictionary, and windows of text that no training saw. Out: one
`figures.Evaluation`, frozen and without torch: losses, fit, sparsity, intervals over documents, and
on request what each activation band carries and how the decoder's directions lie. Called by the
jobs that evaluate, harvest, train, sweep and make the demo. The store keeps the figures as JSON,
and the evaluation page draws them.
"""
