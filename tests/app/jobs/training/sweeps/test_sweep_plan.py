"""Plans of sweeps, and their records on disk."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from app.errors import InvalidRequest
from app.jobs.training.sweeps.plan import Grid, name_runs, read_plan
from app.jobs.training.sweeps.records import (
    SweepRecord,
    import_sweep,
    not_stored,
    path_of,
    read_record,
    read_records,
    write_record,
)
from app.settings import resource
from app.store.store import Store
from app.store.upkeep.dump import dump
from tests.app.pretend.runs import EVALUATION, config, point

PLAN = """
model = "model"
hook_point = "blocks.0.mlp.hook_post"
corpus = "python-stdlib"
[training]
tokens = 1000
[[runs]]
architectures = ["batchtopk", "gated"]
features = [64]
l0 = [4, 8.5]
[[runs]]
architectures = ["topk"]
features = [64]
l0 = [4]
seeds = [0, 1]
learning_rate = 0.01
"""


def read(folder: Path, text: str = PLAN) -> tuple[str, ...]:
    (folder / "plan.toml").write_text(text)
    return tuple(run.name for run in read_plan(folder / "plan.toml").runs)


def test_a_plan_of_uneven_grids(tmp_path: Path) -> None:
    assert read(tmp_path) == (
        "batchtopk-64-l4-s0",
        "gated-64-l4-s0",
        "batchtopk-64-l8.5-s0",
        "gated-64-l8.5-s0",
        "topk-64-l4-s0-learning_rate=0.01",
        "topk-64-l4-s1-learning_rate=0.01",
    )
    plan = read_plan(tmp_path / "plan.toml")
    assert {run.config.tokens for run in plan.runs} == {1000}
    assert plan.model == str(tmp_path / "model")
    assert (plan.name, plan.corpus) == (tmp_path.name, "python-stdlib")


def test_the_same_training_is_planned_once(tmp_path: Path) -> None:
    doubled = PLAN + PLAN[PLAN.index("[[runs]]") :]
    assert len(read(tmp_path, doubled)) == 6


def test_the_order_lets_a_sweep_be_stopped_early() -> None:
    grid = Grid(l0=[8, 16], features=[32, 64], architectures=["topk", "gated"], seeds=[0, 1])
    names = [run.name for run in name_runs(grid.configs(), {})]
    assert names[:4] == [
        "topk-32-l8-s0",
        "gated-32-l8-s0",
        "topk-64-l8-s0",
        "gated-64-l8-s0",
    ]
    assert [name[-1] for name in names] == ["0"] * 8 + ["1"] * 8


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('model = "model"', "", "names no model"),
        ("[[runs]]", "[[run]]", "unknown 'run'"),
        ("l0 = [4]", "l0 = 4", r"needs a list of l0, such as \[8, 16\]"),
        ("l0 = [4]", 'l0 = ["4"]', "needs a list of l0"),
        ("l0 = [4]", "l0 = [65]", "L0 of 65 does not fit a dictionary of 64"),
        ("l0 = [4]", "l0 = [-1]", "does not fit"),
        ("learning_rate", "rate", "unknown 'rate'"),
        ("tokens = 1000", "tokens = 0", "tokens is 0"),
        ("tokens = 1000", "lr = 1", "unknown 'lr'"),
        ("tokens = 1000", 'normalisation = "all"', "normalisation is 'all': use one of none, mean"),
        ("tokens = 1000", "tokens = 3e6", "tokens is 3000000.0: give a whole number"),
        ("tokens = 1000", 'tokens = "3M"', "tokens is '3M': give a whole number"),
        ("tokens = 1000", "batch = true", "batch is True: give a whole number"),
        ("tokens = 1000", "seed = 3", r"\[training\] has an unknown 'seed'"),
        ("learning_rate = 0.01", "architecture = 'gated'", r"\[\[runs\]\] has an unknown 'arch"),
        ("learning_rate = 0.01", 'learning_rate = "fast"', "learning_rate is 'fast': give a num"),
        ("[training]", 'context = "128"\n[training]', "context is '128': give a whole number"),
        ("[training]", "[training", "cannot be read"),
        (PLAN[PLAN.index("[[runs]]") :], "", "has no runs"),
        ('model = "model"', "model = 5", "model is 5: give words in quotes"),
        ('corpus = "python-stdlib"', "corpus = ['a']", r"corpus is \['a'\]: give words in quotes"),
        ("[training]", "model_name = 5\n[training]", "model_name is 5: give words in quotes"),
        ("[training]", "model_name = ['a']\n[training]", r"model_name is \['a'\]: give words"),
        ("[training]", "name = 1.5\n[training]", r"name is 1\.5: give words in quotes"),
        ("[training]", "name = 'a/b'\n[training]", "'a/b' cannot be part of an address"),
        ("[training]", "name = ''\n[training]", "'' cannot be part of an address"),
        ("[training]\ntokens = 1000", "training = 3", r"training is 3: give a table, headed \[tr"),
        (PLAN[PLAN.index("[training]") :], "runs = 3", r"runs is 3: give tables, each headed \[\["),
        (PLAN[PLAN.index("[training]") :], "runs = [1]", r"runs is \[1\]: give tables, each head"),
        (
            PLAN[PLAN.index("[[runs]]") :],
            "[runs]\nl0 = [8]",
            r"\[runs\] is a table alone: head",
        ),
        ("seeds = [0, 1]", "seeds = [-1]", "A seed is a whole number from 0 to 2147483647, not -1"),
        ("seeds = [0, 1]", f"seeds = [{10**20}]", f"from 0 to 2147483647, not {10**20}"),
        ('["topk"]', '["best"]', "no architecture 'best' to train"),
        ("l0 = [4]", "l0 = [2.5]", r"TopK's k is a whole number, not 2\.5"),
    ],
)
def test_plans_that_make_no_sense(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in PLAN
    with pytest.raises(InvalidRequest, match=said):
        read(tmp_path, PLAN.replace(old, new))


def test_a_plan_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"plan\.toml cannot be read"):
        read_plan(tmp_path / "plan.toml")


def test_the_demos_plan_covers_what_it_promises() -> None:
    runs = read_plan(resource("demo") / "sweep" / "plan.toml").runs
    configs = [run.config for run in runs]
    assert all(c.tokens >= 3_000_000 for c in configs)
    for name in ("topk", "batchtopk", "matryoshka", "jumprelu", "gated", "standard"):
        assert {c.l0 for c in configs if c.architecture == name and c.d_sae == 4096} == {8, 16, 32}
    assert {c.d_sae for c in configs if c.l0 == 16} >= {512, 2048, 8192}
    seeds = [c for c in configs if (c.architecture, c.l0, c.d_sae) == ("batchtopk", 16, 4096)]
    assert {c.seed for c in seeds} == {0, 1, 2}


def made(run: str = "topk-64-l8-s0", **changes: object) -> SweepRecord:
    whole = SweepRecord(
        sweep="s",
        run=run,
        model="demo",
        hook_point="blocks.0.mlp.hook_post",
        config=asdict(config()),
        settings={"n_ctx": 128},
        status="finished",
        evaluation=EVALUATION,
        cost={"seconds": 1.25},
        checksum="c" * 64,
        curve=(point(50), point(100)),
    )
    return replace(whole, **changes)  # type: ignore[arg-type]


def test_a_record_comes_back_as_it_was_written(tmp_path: Path) -> None:
    write_record(tmp_path, made())
    found = read_record(path_of(tmp_path, "topk-64-l8-s0"))
    assert found == made()
    before = path_of(tmp_path, found.run).read_bytes()
    write_record(tmp_path, found)
    assert path_of(tmp_path, found.run).read_bytes() == before


def test_results_go_into_the_store_once(store: Store, tmp_path: Path) -> None:
    write_record(tmp_path, made())
    write_record(tmp_path, made("bad", status="failed", message="No.", evaluation=None, curve=()))
    import_sweep(store, tmp_path)
    before = list(dump(store.engine))
    records = import_sweep(store, tmp_path)
    assert [record.run for record in records] == ["bad", "topk-64-l8-s0"]
    assert list(dump(store.engine)) == before
    assert not_stored(store, tmp_path, records) == []
    found = store.runs.curve("s.topk-64-l8-s0")
    assert found.points == (point(50), point(100))
    assert found.view.record.sweep == "s"
    changed = made(evaluation=EVALUATION | {"fvu": 0.5})
    assert not_stored(store, tmp_path, [changed]) == [changed]


def values_of(record: SweepRecord, folder: Path) -> dict[str, Any]:
    """What stands in a record's file."""
    write_record(folder, record)
    found: dict[str, Any] = json.loads(path_of(folder, record.run).read_text())
    return found


def test_figures_that_are_no_numbers_are_written_as_none(tmp_path: Path) -> None:
    values = values_of(made(curve=(point(50, loss=math.nan),)), tmp_path)
    assert values["curve"]["loss"] == [None]
    (found,) = read_record(path_of(tmp_path, "topk-64-l8-s0")).curve
    assert math.isnan(found.loss)
    assert found.fvu == point(50).fvu


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"format": 9}',
        '{"format": 1, "curve": {}}',
        '{"format": 1, "curve": []}',
        "[" * 9999,
    ],
)
def test_what_is_no_record_is_a_sentence(tmp_path: Path, text: str) -> None:
    path = path_of(tmp_path, "x")
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(InvalidRequest, match=r"x\.json is no result of a sweep: .*Take it away"):
        read_records(tmp_path)


@pytest.mark.parametrize(
    ("where", "value", "said"),
    [
        ("sweep", 5, "sweep is 5: it should be a valid string"),
        ("sweep", "a/b", "'a/b.topk-64-l8-s0' cannot be part of .* in the fields sweep and run"),
        ("run", "another", "run is 'another', not the name of the file"),
        ("hook_point", None, "hook_point is None: it should be a valid string"),
        ("surprise", 1, "surprise is 1: Extra inputs are not permitted"),
        ("status", "weird", "status is 'weird': it should be 'finished' or 'failed'"),
        ("status", "running", "status is 'running': it should be 'finished' or 'failed'"),
        ("folder", "a\0b", "folder is 'a"),
        ("evaluation", None, "status is 'finished', but evaluation is missing"),
        ("evaluation.fvu", "0.5", "evaluation.fvu is '0.5': it should be a valid number"),
        ("evaluation.fvu", math.nan, "evaluation.fvu is nan: it should be a finite number"),
        ("evaluation.l0", -1, "evaluation.l0 is -1: it should be greater than or equal to 0"),
        ("evaluation.dead_share", 1.5, "evaluation.dead_share is 1.5: it should be less than"),
        ("evaluation.extra_loss_fraction", "x", "evaluation.extra_loss_fraction is 'x'"),
        ("evaluation.kl", 1e300, r"evaluation.kl is 1e\+300: it should be less than"),
        ("evaluation.details", 5, "evaluation.details is 5: it should be an object"),
        ("evaluation.details", {"intervals": {"l0": [1]}}, "intervals.l0.1 is missing"),
        ("cost.seconds", "x", "cost.seconds is 'x': it should be a valid number"),
        ("cost", [], r"cost is \[\]: it should be an object"),
        ("config.seed", "a", "config.seed is 'a': it should be a valid integer"),
        ("config.d_sae", 2, "An L0 of 8 does not fit a dictionary of 2 features"),
        ("config.normalisation", "all", "'all' is not a valid Normalisation"),
        ("config.rate", 2, "config.rate is 2: Extra inputs"),
        ("settings.evaluation_tokens", "x", "settings.evaluation_tokens is 'x'"),
        ("curve.loss", ["a", 1], "curve.loss.0 is 'a': it should be a valid number"),
        ("curve.loss", [1.0], "the columns of curve have different lengths"),
        ("curve.step", [50, 50], "curve.step does not rise"),
        ("curve.step", [50, 2**63], f"curve.step.1 is {2**63}: it should be less than"),
    ],
)
def test_a_damaged_record_is_refused_by_its_field(
    tmp_path: Path, where: str, value: object, said: str
) -> None:
    values = inner = values_of(made(), tmp_path)
    *outer, last = where.split(".")
    for key in outer:
        inner = inner[key]
    inner[last] = value
    path = path_of(tmp_path, "topk-64-l8-s0")
    path.write_text(json.dumps(values))
    with pytest.raises(InvalidRequest, match=rf"topk-64-l8-s0\.json is no result .*{said}"):
        read_record(path)


@pytest.mark.parametrize("where", ["hook_point", "config.seed", "evaluation.fvu", "curve.loss"])
def test_a_record_without_a_needed_field_is_refused(tmp_path: Path, where: str) -> None:
    values = inner = values_of(made(), tmp_path)
    *outer, last = where.split(".")
    for key in outer:
        inner = inner[key]
    del inner[last]
    path = path_of(tmp_path, "topk-64-l8-s0")
    path.write_text(json.dumps(values))
    with pytest.raises(InvalidRequest, match=f"no result of a sweep: {where} is missing"):
        read_record(path)


def test_an_empty_folder_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="holds no results of a sweep"):
        read_records(tmp_path)
