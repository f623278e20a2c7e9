"""Plans of sweeps, and their records on disk."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import pytest

from app.errors import InvalidRequest
from app.resources import resource
from app.store import Store, dump
from app.sweep_plan import Grid, name_runs, read_plan
from app.sweep_records import (
    SweepRecord,
    import_sweep,
    not_stored,
    path_of,
    read_record,
    read_records,
    write_record,
)
from tests.app.runs_made import EVALUATION, config, point

PLAN = """
model = "model"
hook_point = "blocks.0.mlp.hook_post"
corpus = "python-stdlib"
[training]
tokens = 1000
[[runs]]
architectures = ["topk", "gated"]
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
        "topk-64-l4-s0",
        "gated-64-l4-s0",
        "topk-64-l8.5-s0",
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
    grid = Grid(l0=[8, 16], features=[32, 64], architectures=["a", "b"], seeds=[0, 1])
    names = [run.name for run in name_runs(grid.configs(), {})]
    assert names[:4] == ["a-32-l8-s0", "b-32-l8-s0", "a-64-l8-s0", "b-64-l8-s0"]
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
    before = list(dump(store._engine))
    records = import_sweep(store, tmp_path)
    assert [record.run for record in records] == ["bad", "topk-64-l8-s0"]
    assert list(dump(store._engine)) == before
    assert not_stored(store, tmp_path, records) == []
    found = store.runs.curve("s.topk-64-l8-s0")
    assert found.points == (point(50), point(100))
    assert found.view.record.sweep == "s"
    changed = made(evaluation=EVALUATION | {"fvu": 0.5})
    assert not_stored(store, tmp_path, [changed]) == [changed]


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"format": 9}', '{"format": 1, "curve": {}}', '{"format": 1, "curve": []}'],
)
def test_what_is_no_record_is_a_sentence(tmp_path: Path, text: str) -> None:
    path = path_of(tmp_path, "x")
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(InvalidRequest, match="is no result of a sweep"):
        read_records(tmp_path)


def test_records_of_another_shape_are_refused(tmp_path: Path) -> None:
    write_record(tmp_path, made())
    path = path_of(tmp_path, "topk-64-l8-s0")
    for old, new in (
        ('"hook_point"', '"hook"'),
        ('"d_sae": 64', '"d_sae": 2'),
        ("50", '"a", 1'),
        ('"fvu": 0.125', '"fuv": 0.125'),
        ('"l0": 15.5', '"l0": "many"'),
    ):
        text = path.read_text()
        path.write_text(text.replace(old, new, 1))
        with pytest.raises(InvalidRequest, match="is no result of a sweep"):
            read_record(path)
        path.write_text(text)


def test_an_empty_folder_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="holds no results of a sweep"):
        read_records(tmp_path)
