"""Which dictionary the numbers of a feature's aligned neurons belong to."""

from __future__ import annotations

from dataclasses import replace

from app.rendering.feature import other_dictionaries
from app.store.store import Store
from tests import factories


def test_neurons_are_those_where_a_dictionary_writes(store: Store) -> None:
    for sample in (factories.sample(), factories.neurons_sample()):
        factories.publish(store, sample)
    neurons, view = store.dictionary("demo", "neurons"), store.dictionary("demo", "mlp-12")
    at = neurons.hook_point
    assert other_dictionaries(replace(view, hook_point=at), [neurons]) == "neurons"
    into = replace(view, hook_point="blocks.0.mlp.hook_in", details={"writes at": at})
    assert other_dictionaries(into, [neurons]) == "neurons"
    out_of = replace(view, hook_point=at, details={"writes at": "blocks.0.hook_mlp_out"})
    assert other_dictionaries(out_of, [neurons]) is None
