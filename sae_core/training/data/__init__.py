"""Activations to train on, as shuffled and numbered batches.

In: a language model, a hook point and windows of text. Out: batches in float32 that depend on the
seed and the step alone (`stream`), from pools of shuffled activations (`pools`) that may be kept on
disk (`activation_cache`); and, for the last steps, the loss of the model's predictions
(`downstream`). Called by the jobs that train, sweep and make the demo, and read by the trainer.
"""
