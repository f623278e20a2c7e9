"""The product: store, worker, pages and the command line. Imports sae_core, never the other way."""

__version__ = "0.1.0"
