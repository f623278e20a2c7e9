"""Routes: a few lines each, which ask the store and hand to a template."""
