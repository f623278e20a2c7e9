"""Out in Neuronpedia's format and back in: what survives, field by field."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from app.errors import InvalidRequest
from app.exchange.neuronpedia.files import find_export
from app.exchange.neuronpedia.read import Names, import_export
from app.exchange.neuronpedia.write import export_dictionary
from app.store.store import Store
from app.store.types.catalogue import WRITES_AT, DictionaryView, FeatureView
from sae_core.harvest.records import ExampleGroup, GroupKind
from tests import factories
from tests.app.exchange import saedashboard
from tests.same import same


@pytest.fixture
def pair(sqlite_store: Store, tmp_path: Path) -> tuple[DictionaryView, DictionaryView]:
    """A dictionary and what came back of it."""
    writes = {WRITES_AT: "blocks.0.hook_mlp_out"}  # a transcoder's is said, too
    sqlite_store.add_dictionary(factories.dictionary(details=writes))
    ours = sqlite_store.dictionary("demo", "mlp-12")
    sqlite_store.labels.add(ours, 4, "<b>self</b> & others")
    export_dictionary(sqlite_store, ours, tmp_path / "out")
    files = find_export(tmp_path / "out")
    assert files is not None
    return ours, import_export(sqlite_store, files, Names(model="back"))


def _texts(store: Store, page: FeatureView, group: ExampleGroup) -> list[tuple[object, ...]]:
    """Each context as tokens, activations and peak, without an opening special token."""
    vocabulary = store.vocabulary(page.dictionary.model_id)
    rows: list[tuple[object, ...]] = []
    examples = group.examples
    for i, number in enumerate(examples.windows.tolist()):
        tokens = page.windows[number].tokens
        own = slice(int(examples.bounds[i]), int(examples.bounds[i + 1]))
        lead = int(int(tokens[0]) in vocabulary.special)
        values = np.zeros(len(tokens), dtype=np.float32)
        values[examples.positions[own]] = examples.values[own]
        pieces = tuple(_spelled(vocabulary.pieces[t]) for t in tokens[lead:])
        rows.append((pieces, values[lead:].tobytes(), int(examples.peaks[i]) - lead))
    return rows


def _spelled(piece: bytes) -> str:
    return "".join(
        f"\\x{ord(c) - 0xDC00:02x}" if 0xDC80 <= ord(c) <= 0xDCFF else "\\x00" if c == "\0" else c
        for c in piece.decode("utf-8", "surrogateescape")
    )


def test_what_survives(sqlite_store: Store, pair: tuple[DictionaryView, DictionaryView]) -> None:
    store, (ours, back) = sqlite_store, pair
    assert (back.d_sae, back.alive, back.hook_point) == (ours.d_sae, ours.alive, ours.hook_point)
    assert back.places == ours.places == "blocks.0.mlp.hook_post → blocks.0.hook_mlp_out"
    assert back.name == "0-mlp-12"
    for index in range(ours.d_sae):
        then, now = store.feature(ours, index), store.feature(back, index)
        old, new = then.record, now.record
        assert now.label == then.label
        assert new.firings == old.firings
        assert same(new.activations.counts, old.activations.counts)
        assert new.activations.low == old.activations.low == 0.0
        assert new.activations.high == pytest.approx(old.activations.high, rel=1e-12)
        assert same(new.logits.counts, old.logits.counts)
        assert same(new.neurons, old.neurons)
        for before, after in ((old.raised, new.raised), (old.lowered, new.lowered)):
            assert same(after.weights, before.weights)
            assert [
                _spelled(store.vocabulary(back.model_id).pieces[i]) for i in after.ids.tolist()
            ] == [_spelled(store.vocabulary(ours.model_id).pieces[i]) for i in before.ids.tolist()]
        kept = [g for g in old.groups if g.kind is not GroupKind.WEAKEST]
        assert [(g.kind, g.number) for g in new.groups] == [(g.kind, g.number) for g in kept]
        for before, after in zip(kept, new.groups, strict=True):
            assert _texts(store, now, after) == _texts(store, then, before)
            if before.kind is GroupKind.BAND:
                assert (after.low, after.high) == (before.low, before.high)


def test_what_does_not(sqlite_store: Store, pair: tuple[DictionaryView, DictionaryView]) -> None:
    _, back = pair
    page = sqlite_store.feature(back, 0)
    assert page.record.nearest.ids.size == page.record.coactive.ids.size == 0
    assert page.effects == {}
    assert {window.line for window in page.windows.values()} == {0}
    assert back.evaluation is None


def test_the_number_of_tokens_survives_where_windows_are_short(
    pair: tuple[DictionaryView, DictionaryView],
) -> None:
    ours, back = pair
    assert ours.harvest is not None
    assert ours.harvest.n_windows * ours.harvest.n_ctx != ours.n_tokens
    assert back.n_tokens == ours.n_tokens


def test_fields_are_those_that_saedashboard_reads(sqlite_store: Store, tmp_path: Path) -> None:
    """It builds its classes from these objects and refuses any other field."""
    view = sqlite_store.dictionary("demo", "mlp-12")
    export_dictionary(sqlite_store, view, tmp_path / "out")
    theirs = saedashboard.batch([0])
    ours = json.loads((tmp_path / "out" / "batch-0.json").read_text())
    assert ours.keys() == theirs.keys()
    for feature in ours["features"]:
        assert feature.keys() == theirs["features"][0].keys()
        for one in feature["activations"]:
            assert one.keys() == theirs["features"][0]["activations"][0].keys()
            assert len(one["tokens"]) == len(one["values"])
    texts = [text for one in ours["features"] for text in one["pos_str"] + one["neg_str"]]
    assert "\0" not in "".join(texts)
    "".join(texts).encode()  # no lone surrogates: other readers refuse them


def test_dead_features_and_neuron_bases_go_out_too(sqlite_store: Store, tmp_path: Path) -> None:
    view = sqlite_store.dictionary("demo", "neurons")
    export_dictionary(sqlite_store, view, tmp_path / "out")
    (batch,) = [json.loads(path.read_text()) for path in (tmp_path / "out").glob("batch-*")]
    assert [one["feature_index"] for one in batch["features"]] == list(range(8))
    assert batch["features"][3]["activations"] == []
    assert batch["features"][3]["frac_nonzero"] == 0


def test_the_same_dictionary_gives_the_same_bytes(sqlite_store: Store, tmp_path: Path) -> None:
    view = sqlite_store.dictionary("demo", "mlp-12")
    sqlite_store.labels.add(view, 1, "one")
    for name in ("a", "b"):
        export_dictionary(sqlite_store, view, tmp_path / name)
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*.*"))
    assert len(files) == 3
    for path in files:
        assert (tmp_path / "a" / path).read_bytes() == (tmp_path / "b" / path).read_bytes()


def test_nothing_is_written_over(sqlite_store: Store, tmp_path: Path) -> None:
    view = sqlite_store.dictionary("demo", "mlp-12")
    with pytest.raises(InvalidRequest, match="exists already"):
        export_dictionary(sqlite_store, view, tmp_path)
    sqlite_store.add_dictionary(factories.dictionary("bare"))
    with pytest.raises(InvalidRequest, match="harvest it first"):
        export_dictionary(sqlite_store, sqlite_store.dictionary("demo", "bare"), tmp_path / "x")
