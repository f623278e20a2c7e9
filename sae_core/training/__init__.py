"""Training dictionaries on a language model's activations.

In: a `TrainingConfig`, and a stream of activations with its hook point (`data`). Out: a dictionary
in the model's units and the points of its training curves; on the way there a checkpoint that a
killed training goes on from. The loss and the step of each architecture are a module of `methods`,
built on `method`, `topk_family` and `penalised`. Called by the jobs that train and sweep, by the
demo's, and by `toy`.
"""
