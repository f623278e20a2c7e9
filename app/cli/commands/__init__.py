"""The commands of `featurescope`, one module each: its parser and what it does."""
