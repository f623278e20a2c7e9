from __future__ import annotations

from dataclasses import replace

import pytest

from app.errors import NotFound
from app.store.store import Store
from app.store.types.catalogue import DictionaryView
from tests import factories
from tests.factories import Sample


def test_an_evaluation_is_replaced_alone(store: Store, published: DictionaryView) -> None:
    store.save_evaluation(published, {"l0": 1.5, "details": {"intervals": {"l0": [1.0, 2.0]}}})
    after = store.dictionary(published.model, published.name)
    assert after.evaluation == {"l0": 1.5, "details": {"intervals": {"l0": [1.0, 2.0]}}}
    assert replace(after, evaluation=None) == replace(published, evaluation=None)


@pytest.mark.parametrize("part", ["model", "dictionary"])
def test_that_of_other_weights_is_not_kept(
    store: Store, sample: Sample, published: DictionaryView, part: str
) -> None:
    changed = replace(getattr(sample, part), checksum="9" * 64)
    factories.publish(store, replace(sample, **{part: changed}))
    with pytest.raises(NotFound, match="was replaced in the store while it was evaluated"):
        store.save_evaluation(published, {"l0": 1.5})
    evaluation = store.dictionary(published.model, published.name).evaluation
    assert evaluation == sample.dictionary.evaluation
