"""The worker: the only process that holds the language model and torch."""
