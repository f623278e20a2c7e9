"""Exports in somebody else's format: what becomes of each field, and of damaged files."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Engine

from app.cli.main import run
from app.errors import InvalidRequest
from app.exchange.neuronpedia.fields import read_feature
from app.exchange.neuronpedia.files import find_export
from app.exchange.neuronpedia.read import Names, import_export
from app.exchange.neuronpedia.records import MOST_TOKENS, TokenCount
from app.exchange.neuronpedia.texts import ForeignText
from app.store.store import Store
from app.store.types.catalogue import DictionaryView
from app.store.upkeep.dump import dump
from sae_core.harvest.records import GroupKind, Histogram
from tests import factories
from tests.app.exchange import saedashboard

N_TOKENS = saedashboard.N_PROMPTS * saedashboard.N_TOKENS_IN_PROMPT


def _import(store: Store, path: Path, names: Names | None = None, **options: Any) -> DictionaryView:
    files = find_export(path)
    assert files is not None
    return import_export(store, files, names or Names(), **options)


def test_every_field_of_a_batch_arrives(sqlite_engine: Engine, tmp_path: Path) -> None:
    store = Store(sqlite_engine)
    view = _import(store, saedashboard.write_batches(tmp_path / "out"))
    assert (view.title, view.d_sae, view.alive) == ("gpt2-small/6-res-jb", 5, 4)
    assert (view.hook_point, view.n_tokens, view.is_imported) == ("layer 6", N_TOKENS, True)
    assert view.corpus is not None
    assert view.corpus.name == "monology/pile-uncopyrighted"
    pieces = store.vocabulary(view.model_id).pieces
    for index in (0, 1, 2, 4):
        raw, page = saedashboard.feature(index), store.feature(view, index)
        record, acts = page.record, saedashboard.acts(index)
        assert record.firings == int((acts > 0).sum())
        assert record.maximum == pytest.approx(float(acts.max()), abs=6e-4)
        assert record.activations.counts.tolist() == raw["freq_hist_data_bar_heights"]
        assert record.activations.high == pytest.approx(float(acts.max()), abs=0.02)
        assert record.logits.counts.tolist() == raw["logits_hist_data_bar_heights"]
        assert [pieces[i].decode() for i in record.raised.ids] == [" mat", *raw["pos_str"][1:]]
        assert record.lowered.weights.tolist() == pytest.approx(raw["neg_values"])
        assert record.neurons.ids.tolist() == [4, 2, 9]
        assert record.neurons.shares.tolist() == pytest.approx([0.2, 0.1, 0.05])
        assert record.nearest.ids.size == 0


def test_contexts_are_those_of_the_source(sqlite_engine: Engine, tmp_path: Path) -> None:
    store = Store(sqlite_engine)
    view = _import(store, saedashboard.write_batches(tmp_path / "out"))
    pieces = store.vocabulary(view.model_id).pieces
    raw = [one for one in saedashboard.feature(0)["activations"] if max(one["values"]) > 0]
    page = store.feature(view, 0)
    shown = []
    for group in page.record.groups:
        examples = group.examples
        for i, number in enumerate(examples.windows.tolist()):
            tokens = [pieces[t].decode() for t in page.windows[number].tokens]
            values = np.zeros(len(tokens))
            own = slice(int(examples.bounds[i]), int(examples.bounds[i + 1]))
            values[examples.positions[own]] = examples.values[own]
            shown.append((tokens, values, int(examples.peaks[i])))
    assert len(shown) == len(raw)
    for (tokens, values, peak), one in zip(shown, raw, strict=True):
        assert tokens == [text.replace("▁", " ") for text in one["tokens"]]
        assert values == pytest.approx(one["values"], abs=1e-6)
        if one["values"][one["qualifying_token_index"]] > 0:
            assert peak == one["qualifying_token_index"]


def test_intervals_become_bands_without_the_zeros(sqlite_engine: Engine, tmp_path: Path) -> None:
    store = Store(sqlite_engine)
    view = _import(store, saedashboard.write_batches(tmp_path / "out"))
    record = store.feature(view, 0).record
    acts = saedashboard.acts(0)
    top, *bands = record.groups
    assert top.kind is GroupKind.TOP
    assert [band.number for band in bands] == [4, 3, 2, 1, 0]
    assert sum(band.firings for band in bands) == record.firings
    for band in bands:
        inside = int(((acts > band.low) & (acts <= band.high)).sum())
        assert band.firings == pytest.approx(inside, abs=2)


def test_intervals_without_a_context_are_there_too(sqlite_engine: Engine, tmp_path: Path) -> None:
    store, made = Store(sqlite_engine), saedashboard.batch([0])
    kept = made["features"][0]["activations"]
    edges = sorted({one["bin_min"] for one in kept if one["bin_min"] >= 0})
    made["features"][0]["activations"] = [
        one for one in kept if one["bin_min"] not in (edges[0], edges[2])
    ]
    (tmp_path / "batch-0.json").write_text(json.dumps(made))
    view = _import(store, tmp_path)
    record = store.feature(view, 0).record
    bands = record.groups[1:]
    assert [band.number for band in bands] == [4, 3, 2, 1, 0]
    assert [len(band.examples) > 0 for band in bands] == [True, True, False, True, False]
    assert (bands[2].firings, bands[4].low) == (0, 0.0)
    assert sum(band.firings for band in bands) == record.firings


def test_a_packed_export_is_the_same(sqlite_engine: Engine, tmp_path: Path) -> None:
    store = Store(sqlite_engine)
    plain = _import(store, saedashboard.write_batches(tmp_path / "plain"), Names(None, "plain"))
    packed = saedashboard.write_batches(tmp_path / "packed", packed=True)
    other = _import(store, packed, Names(None, "packed"))
    for index in range(5):
        one, two = store.feature(plain, index).record, store.feature(other, index).record
        assert one.firings == two.firings
        assert [g.firings for g in one.groups] == [g.firings for g in two.groups]


def test_one_batch_alone_is_an_export(sqlite_engine: Engine, tmp_path: Path) -> None:
    store = Store(sqlite_engine)
    folder = saedashboard.write_batches(tmp_path / "out")
    view = _import(store, folder / "batch-1.json")
    assert (view.d_sae, view.alive) == (5, 1)
    assert store.feature(view, 0).record.groups == ()
    assert any("3 features below" in sentence for sentence in view.details["lacks"])


def test_neuronpedias_own_export_has_labels_and_neighbours(store: Store, tmp_path: Path) -> None:
    view = _import(store, saedashboard.write_export(tmp_path / "6-res-jb"))
    assert (view.title, view.n_tokens, view.d_in) == ("gpt2-small/6-res-jb", N_TOKENS, 16)
    assert view.hook_point == "blocks.6.hook_resid_pre"
    page = store.feature(view, 1)
    assert page.label == "<i>cats</i>"
    assert page.record.nearest.ids.tolist() == [1, 1, 2]
    assert len(page.record.groups[0].examples) == 20
    assert "Labels." not in view.details["lacks"]


def test_two_exports_share_a_model(store: Store, tmp_path: Path) -> None:
    first = _import(store, saedashboard.write_batches(tmp_path / "one"))
    before = store.feature(first, 0)
    made = saedashboard.batch([0])
    made["layer"] = 7
    for one in made["features"][0]["activations"]:
        one["tokens"] = [f"{text}!" for text in one["tokens"]]
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "batch-0.json").write_text(json.dumps(made))
    second = _import(store, tmp_path / "two")
    assert second.model_id == first.model_id
    assert second.d_vocab > first.d_vocab
    again = store.feature(store.dictionary(*first.title.split("/")), 0)
    assert again.record.firings == before.record.firings
    assert store.vocabulary(first.model_id).pieces[: first.d_vocab] != ()


def test_a_number_of_tokens_that_cannot_be_is_not_believed(
    sqlite_engine: Engine, tmp_path: Path
) -> None:
    store = Store(sqlite_engine)
    made = saedashboard.batch([0, 1])
    for one in made["features"]:
        one["n_prompts_total"] = 10 * saedashboard.N_PROMPTS
    path = tmp_path / "batch-0.json"
    path.write_text(json.dumps(made))
    view = _import(store, path)
    assert view.n_tokens == pytest.approx(N_TOKENS, rel=1e-3)
    assert any("follows from counts and densities" in text for text in view.details["lacks"])


def test_numbers_beyond_any_text_are_not_believed(sqlite_engine: Engine, tmp_path: Path) -> None:
    made = saedashboard.batch([0])
    one = made["features"][0]
    one |= {"n_prompts_total": 1 << 52, "n_tokens_in_prompt": 1 << 52, "frac_nonzero": 1e-320}
    one["activations"][1] |= {"bin_min": -1e30, "bin_max": 0.0}
    one["activations"][2] |= {"bin_min": 0.0, "bin_max": 5e-324}
    path = tmp_path / "batch-0.json"
    path.write_text(json.dumps(made))
    assert _import(Store(sqlite_engine), path).n_tokens == MOST_TOKENS


def test_a_counted_number_goes_before_prompts_times_their_length() -> None:
    feature = replace(
        read_feature(saedashboard.batch([0])["features"][0], ForeignText()),
        activations=Histogram(0.0, 1.0, np.array([500])),
        density=500 / 999_500,
        n_tokens=1_000_000,
    )
    count = TokenCount()
    count.add(feature)
    assert count.n_tokens == 1_000_000  # near enough to be believed
    count.know(999_500)
    assert count.n_tokens == 999_500
    count.know(2_000_000)  # but not where it contradicts the counts
    assert (count.stated, count.n_tokens) == (0, 999_500)


def test_importing_again_changes_nothing(store: Store, engine: Engine, tmp_path: Path) -> None:
    folder = saedashboard.write_export(tmp_path / "6-res-jb")
    _import(store, folder)
    before = list(dump(engine))
    _import(store, folder)
    assert list(dump(engine)) == before


def test_names_of_others_are_safe(store: Store, engine: Engine, tmp_path: Path) -> None:
    folder = saedashboard.write_batches(tmp_path / "out")
    sample = factories.sample()
    factories.publish(store, replace(sample, model=replace(sample.model, name="demo")))
    before = list(dump(engine))
    with pytest.raises(InvalidRequest, match="--model-name"):
        _import(store, folder, Names(model="demo"))
    assert list(dump(engine)) == before
    _import(store, folder)
    (folder / "batch-1.json").unlink()
    with pytest.raises(InvalidRequest, match="--replace"):
        _import(store, folder)
    assert _import(store, folder, replace=True).d_sae == 3


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda f: f.update(feature_index=-1), "feature_index"),
        (lambda f: f.update(feature_index=10**9), "at most"),
        (lambda f: f.update(feature_index="abc"), "feature_index"),
        (lambda f: f.update(frac_nonzero=float("nan")), "frac_nonzero"),
        (lambda f: f.update(frac_nonzero=-0.5), "frac_nonzero"),
        (lambda f: f.update(frac_nonzero=10**400), "frac_nonzero"),
        (lambda f: f.update(pos_values=[1e300] * 5), "pos_values"),
        (lambda f: f.update(pos_str=[1, 2, 3, 4, 5]), "pos_str"),
        (lambda f: f.update(pos_values=[10**400] * 5), "pos_values"),
        (lambda f: f.update(pos_values=[0.5]), "pos_values"),
        (lambda f: f.update(freq_hist_data_bar_heights=[-1.0] * 40), "freq_hist"),
        (lambda f: f.update(freq_hist_data_bar_heights=[1e20] * 40), "freq_hist"),
        (lambda f: f.update(activations="no"), "activations"),
        (lambda f: f["activations"][0].update(values=[1.0]), "tokens and 1 values"),
        (lambda f: f["activations"][0].update(tokens=[], values=[]), "0 tokens"),
        (lambda f: f["activations"][0].update(tokens=["x" * 5000] * 24), "5,000 characters"),
        (lambda f: f["activations"].append(7), "no object"),
    ],
)
def test_a_field_that_makes_no_sense_is_named(
    sqlite_engine: Engine, tmp_path: Path, change: Any, sentence: str
) -> None:
    made = saedashboard.batch([0])
    change(made["features"][0])
    (tmp_path / "batch-0.json").write_text(json.dumps(made))
    before = list(dump(sqlite_engine))
    with pytest.raises(InvalidRequest, match=sentence):
        _import(Store(sqlite_engine), tmp_path / "batch-0.json")
    assert list(dump(sqlite_engine)) == before


@pytest.mark.parametrize(
    ("name", "data", "sentence"),
    [
        ("batch-0.json", b"", "no JSON"),
        ("batch-0.json", b'{"features": [', "no JSON"),
        ("batch-0.json", b"[" * 100_000, "no JSON"),
        ("batch-0.json", b"[1]", "no JSON object"),
        ("batch-0.json", b'{"features": 3}', "no list of features"),
        ("batch-0.json", b'{"model_id": "m", "layer": 0, "features": []}', "holds no feature"),
        ("batch-0.json.gz", b"not packed", "damaged or incomplete"),
        (
            "batch-0.json.gz",
            gzip.compress(b'{"features": []}', mtime=0)[:-9],
            "damaged or incomplete",
        ),
    ],
)
def test_a_damaged_file_is_named(
    sqlite_store: Store, tmp_path: Path, name: str, data: bytes, sentence: str
) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InvalidRequest, match=sentence):
        _import(sqlite_store, tmp_path)


def test_a_file_that_unpacks_to_too_much_is_refused(
    sqlite_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.exchange.neuronpedia.files.LARGEST_FILE", 1 << 20)
    (tmp_path / "batch-0.json.gz").write_bytes(gzip.compress(b" " * (1 << 22)))
    with pytest.raises(InvalidRequest, match="unpacks to more than"):
        _import(sqlite_store, tmp_path)


def test_a_small_file_that_unpacks_to_far_more_is_refused(
    sqlite_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sae_core.files.unpacking.ALWAYS", 1 << 10)
    packed = gzip.compress(b'{"features": []}' + b" " * (1 << 20))
    (tmp_path / "batch-0.json.gz").write_bytes(packed)
    most = f"{(1 << 10) + 100 * len(packed):,}"
    with pytest.raises(InvalidRequest, match=f"unpacks to more than {most} bytes"):
        _import(sqlite_store, tmp_path)


def test_a_few_features_of_a_large_number_are_refused(
    sqlite_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.exchange.neuronpedia.read.MOST_MISSING", 10)
    monkeypatch.setattr("app.exchange.neuronpedia.read.MISSING_PER_FEATURE", 2)
    (tmp_path / "batch-0.json").write_text(json.dumps(saedashboard.batch([0, 14])))
    with pytest.raises(InvalidRequest, match=r"a feature 14 among 2 features.*up to 13"):
        _import(sqlite_store, tmp_path)
    (tmp_path / "batch-0.json").write_text(json.dumps(saedashboard.batch([0, 13])))
    assert _import(sqlite_store, tmp_path).d_sae == 14


def test_a_folder_in_place_of_a_batch_is_named(sqlite_store: Store, tmp_path: Path) -> None:
    (tmp_path / "batch-0.json").mkdir()
    with pytest.raises(InvalidRequest, match="cannot be read"):
        _import(sqlite_store, tmp_path)


def test_a_feature_twice_is_refused(sqlite_store: Store, tmp_path: Path) -> None:
    folder = saedashboard.write_batches(tmp_path / "out")
    (folder / "batch-2.json").write_text(json.dumps(saedashboard.batch([0])))
    with pytest.raises(InvalidRequest, match="Feature 0 is there twice"):
        _import(sqlite_store, folder)


def test_the_command_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FEATURESCOPE_HOME", str(tmp_path / "home"))
    folder = saedashboard.write_batches(tmp_path / "out")
    assert run(["import", str(folder), "--name", "res", "--hook-point", "blocks.6.hook_z"]) == 0
    told = capsys.readouterr().out
    assert "gpt2-small/res is imported: 5 features, 4 of them alive." in told
    assert "not in the source: The weights of model and dictionary" in told
    assert run(["import", str(tmp_path / "nothing")]) == 1
    assert "There is nothing at" in capsys.readouterr().err
    assert run(["import", str(tmp_path)]) == 1
    assert "nothing that can be imported" in capsys.readouterr().err
