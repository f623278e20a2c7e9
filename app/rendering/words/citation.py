"""What somebody who cites a page has to name, so that others can find the very same numbers."""

from __future__ import annotations

from app.rendering.numbers import count
from app.rendering.tokens import printable
from app.store.types.catalogue import DictionaryView

EMBED_PARTS = {
    "summary": "what it is, in one line",
    "contexts": "contexts",
    "charts": "histograms",
    "tokens": "tokens and relations",
}
"""Parts of a feature's page that a frame can have, by their names in addresses."""


def citation(dictionary: DictionaryView, index: int | None = None) -> str:
    """One feature, or a dictionary, with the digests of model, dictionary and corpus.

    Args:
        dictionary: that is cited, or whose feature is.
        index: of the feature; None: the dictionary as a whole.
    """
    kind = "Neuron" if dictionary.is_neurons else "Feature"
    subject = "Dictionary" if index is None else f"{kind} {index} of"
    parts = [
        f"{subject} {dictionary.title} ({dictionary.architecture}, {count(dictionary.d_sae)} "
        f"{'neurons' if dictionary.is_neurons else 'features'} at {dictionary.places})"
    ]
    parts += [
        f"{what} SHA-256 {digest}"
        for what, digest in (
            ("model", dictionary.model_checksum),
            ("dictionary", dictionary.checksum),
        )
        if digest
    ]
    if (corpus := dictionary.corpus) is not None:
        read = f", {count(dictionary.n_tokens)} tokens read" if dictionary.n_tokens else ""
        parts.append(f"corpus {corpus.name}{read}, fingerprint {corpus.fingerprint}")
    return printable("; ".join(parts)) + ". Featurescope."
