"""Stored figures that are right pass; each kind of wrong one is found."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sae_core.dictionaries.dictionary import Dictionary
from sae_core.harvest.feature_records import feature_records, window_records
from sae_core.harvest.firing_log import FiringLog
from sae_core.harvest.harvest import HarvestPlan, plan_harvest, run_harvest
from sae_core.harvest.recomputation import (
    check_activations,
    check_consistency,
    check_densities,
    check_weights,
)
from sae_core.harvest.records import FeatureRecord, WindowRecord
from sae_core.language_model.model import LanguageModel, load_model
from sae_core.text.corpus import open_corpus
from sae_core.text.tokenized import Windows, tokenize
from tests.sae_core.tiny_dictionaries import random_dictionary
from tests.sae_core.tiny_models import save_folder, tiny_gpt2

POST = "blocks.1.mlp.hook_post"


class Harvested:
    """A tiny harvest."""

    def __init__(self, folder: Path) -> None:
        save_folder(tiny_gpt2(), folder / "tiny")
        (folder / "texts").mkdir()
        for n in range(30):
            lines = [f"def fox_{n}(dog): return {n} jumps {k}" for k in range(n % 7 + 1)]
            (folder / "texts" / f"{n:02}.txt").write_text("\n".join(lines))
        self.model: LanguageModel = load_model(folder / "tiny")
        self.dictionary: Dictionary = random_dictionary(POST, 48, architecture="topk")
        text = tokenize(open_corpus(str(folder / "texts")), self.model.tokenizer, folder / "cache")
        windows = Windows(text, 32, self.model.vocabulary.bos)
        self.plan: HarvestPlan = plan_harvest(windows, None)
        header = self.plan.header(self.model, self.dictionary, "0" * 64)
        (folder / "log").mkdir()
        log = FiringLog(folder / "log", header)
        run_harvest(self.model, self.dictionary, self.plan, log)
        self.n_tokens = log.n_tokens
        self.records: list[FeatureRecord] = list(
            feature_records(self.model, self.dictionary, self.plan, log)
        )
        shown = sorted(
            {n for r in self.records for g in r.groups for n in g.examples.windows.tolist()}
        )
        self.windows: dict[int, WindowRecord] = {
            window.number: window
            for window in window_records(self.plan, self.model, np.array(shown, dtype=np.int64))
        }

    @property
    def firings(self) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        return np.array([record.firings for record in self.records], dtype=np.int64)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Harvested:
    return Harvested(tmp_path_factory.mktemp("harvested"))


def test_a_true_harvest_passes(made: Harvested) -> None:
    checks = [
        check_activations(made.model, made.dictionary, made.records, made.windows),
        *check_weights(made.model, made.dictionary, made.records),
        check_consistency(made.records),
        *check_densities(
            made.model,
            made.dictionary,
            made.plan.windows,
            made.plan.order,
            made.firings,
            made.n_tokens,
        ),
    ]
    assert [check.differ for check in checks] == [0] * len(checks)
    assert min(check.compared for check in checks if "dead" not in check.what) > 0
    assert checks[0].compared > 1000
    assert checks[0].largest < 1e-5


def test_a_wrong_activation_is_found(made: Harvested) -> None:
    record = next(record for record in made.records if record.groups)
    top = record.groups[0]
    values = top.examples.values.copy()
    values[0] *= 1.5
    wrong = replace(
        record,
        groups=(replace(top, examples=replace(top.examples, values=values)), *record.groups[1:]),
    )
    # the window may be shown in another group, too, whose copy is right
    only = replace(wrong, groups=wrong.groups[:1])
    check = check_activations(made.model, made.dictionary, [only], made.windows)
    assert check.differ == 1
    assert f"feature {record.index} in window" in check.where


def test_a_firing_that_is_not_stored_is_found(made: Harvested) -> None:
    record = next(record for record in made.records if record.groups)
    top = record.groups[0]
    one = replace(
        top.examples,
        windows=top.examples.windows[:1],
        peaks=top.examples.peaks[:1],
        bounds=np.array([0, 0]),
        positions=top.examples.positions[:0],
        values=top.examples.values[:0],
    )
    bare = replace(record, groups=(replace(top, examples=one),))
    assert check_activations(made.model, made.dictionary, [bare], made.windows).differ > 0


@pytest.mark.parametrize("part", ["raised", "lowered", "nearest", "neurons"])
def test_a_wrong_weight_is_found(made: Harvested, part: str) -> None:
    record = made.records[3]
    ranking = getattr(record, part)
    wrong = replace(record, **{part: replace(ranking, weights=ranking.weights + 0.5)})
    checks = check_weights(made.model, made.dictionary, [wrong])
    assert sum(check.differ for check in checks) > 0


def test_parts_that_contradict_each_other_are_found(made: Harvested) -> None:
    record = next(record for record in made.records if record.groups)
    assert check_consistency([replace(record, firings=record.firings + 1)]).differ > 0
    assert check_consistency([replace(record, maximum=2 * record.maximum)]).differ > 0


def test_wrong_densities_are_found(made: Harvested) -> None:
    def differ(firings: np.ndarray[tuple[int], np.dtype[np.int64]]) -> int:
        checks = check_densities(
            made.model,
            made.dictionary,
            made.plan.windows,
            made.plan.order,
            firings,
            made.n_tokens,
        )
        return sum(check.differ for check in checks)

    busy = int(made.firings.argmax())
    dead, doubled = made.firings.copy(), made.firings.copy()
    dead[busy] = 0
    doubled[busy] //= 4
    assert differ(dead) > 0
    assert differ(doubled) > 0
