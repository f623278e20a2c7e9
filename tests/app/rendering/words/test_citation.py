"""What a citation names."""

from __future__ import annotations

from app.rendering.words.citation import citation
from app.store.store import Store


def test_a_citation_names_all_digests(sqlite_store: Store) -> None:
    view = sqlite_store.dictionary("demo", "mlp-12")
    assert view.corpus is not None
    said = citation(view, 3)
    assert said.startswith("Feature 3 of demo/mlp-12 (")
    assert f"model SHA-256 {view.model_checksum}; dictionary SHA-256 {view.checksum}" in said
    assert said.endswith(f"fingerprint {view.corpus.fingerprint}. Featurescope.")
    assert citation(view).startswith("Dictionary demo/mlp-12 (")
    neurons = sqlite_store.dictionary("demo", "neurons")
    assert citation(neurons, 1).startswith("Neuron 1 of demo/neurons (")
