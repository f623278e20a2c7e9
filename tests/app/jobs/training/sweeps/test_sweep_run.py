"""`featurescope sweep` on a tiny model: what it writes, that it resumes, what it refuses."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from app.cli.commands.making.sweep import plan as planned
from app.cli.main import build_parser, run
from app.jobs.training.peak_memory import forget_peak, peak_bytes
from app.jobs.training.sweeps import run as sweeping
from app.jobs.training.sweeps.records import RESULTS, read_records, write_record
from app.settings import read_settings
from app.store.database import connect
from app.store.store import Store
from sae_core.dictionaries.checkpoint import dictionary_checksum, load_dictionary
from sae_core.errors import TrainingError
from sae_core.training import trainer
from sae_core.training.config import TrainingPoint
from tests.app.jobs.training.sweeps.test_sweep_plan import made
from tests.sae_core.tiny_models import save_folder, tiny_gpt2

POST = "blocks.1.mlp.hook_post"
NAMES = ["topk-24-l2-s0", "topk-24-l4-s0", "topk-48-l2-s0", "topk-48-l4-s0"]


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model and texts."""
    folder = tmp_path_factory.mktemp("parts")
    save_folder(tiny_gpt2(2), folder / "tiny")
    (folder / "texts").mkdir()
    for n in range(30):
        lines = [f"def fox_{n}(dog): return {n} jumps over {n * k}" for k in range(n % 9 + 1)]
        (folder / "texts" / f"{n:02}.txt").write_text("\n".join(lines))
    return folder


@pytest.fixture(autouse=True)
def _small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEATURESCOPE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(sweeping, "EVALUATION_TOKENS", 500)


def words(parts: Path, out: Path, *more: str, **options: str) -> list[str]:
    given = {
        "model": str(parts / "tiny"),
        "hook-point": POST,
        "corpus": str(parts / "texts"),
        "context": "24",
        "architectures": "topk",
        "features": "24,48",
        "l0": "2,4",
        "tokens": "3.2k",
        "batch": "32",
        "out": str(out),
    } | {key.replace("_", "-"): value for key, value in options.items()}
    return ["sweep", *more, *(word for key, value in given.items() for word in (f"--{key}", value))]


def store() -> Store:
    return Store(connect(read_settings().url))


def results(folder: Path) -> dict[str, bytes]:
    """The records without what a clock or a machine decides."""
    found = {}
    for path in (folder / RESULTS).iterdir():
        values = json.loads(path.read_text())
        del values["cost"], values["curve"]["tokens_per_second"]
        found[path.name] = json.dumps(values).encode()
    return found


def test_every_combination_is_trained_and_shown(
    parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "mine"
    assert run(words(parts, out, "--keep-weights", cache=str(tmp_path / "cache"))) == 0
    said = capsys.readouterr().out
    assert said.count("| topk |") == 4
    assert (out / "sweep.svg").read_text().startswith("<svg xmlns")
    records = read_records(out)
    assert [record.run for record in records] == NAMES
    for record in records:
        assert record.status == "finished"
        assert record.evaluation is not None
        assert record.evaluation["l0"] <= record.config["l0"]
        assert set(record.evaluation["details"]) == {"intervals", "interval_method"}
        assert record.settings["learning_rate"] == 1.2e-3 * (4096 / record.config["d_sae"]) ** 0.5
        assert record.curve[-1].step == 100
        assert record.cost["seconds"] > 0
        assert record.cost["peak_bytes"] > 10**7
        assert record.folder is not None
        assert dictionary_checksum(out / record.folder) == record.checksum
        assert load_dictionary(out / record.folder).d_sae == record.config["d_sae"]
    assert not (out / "unfinished").exists()
    assert store().runs.sweeps() == {"mine": 4}
    live = store().runs.curve("mine.topk-24-l2-s0")
    assert live.view.record.status == "finished"
    assert live.points == records[0].curve
    assert sorted(p.name for p in (tmp_path / "cache").iterdir()) == [
        str(records[0].settings["activations"])[:24]
    ]


def _failing_at(
    monkeypatch: pytest.MonkeyPatch, error: BaseException, when: Callable[[TrainingPoint], bool]
) -> None:
    whole = trainer.train

    def train(*arguments, **options):
        *others, on_point, downstream = arguments

        def told(point: TrainingPoint) -> None:
            on_point(point)
            if when(point):
                raise error

        return whole(*others, told, downstream, point_every=10, **options)

    monkeypatch.setattr(sweeping, "train", train)


def test_an_interrupted_sweep_goes_on_to_the_same_results(
    parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        _failing_at(patch, KeyboardInterrupt(), lambda point: False)
        assert run(words(parts, tmp_path / "whole", l0="2", name="a")) == 0
    with monkeypatch.context() as patch:
        _failing_at(patch, KeyboardInterrupt(), lambda point: point.step == 70)
        assert run(words(parts, tmp_path / "cut", l0="2", name="a")) == 130
    assert store().runs.curve("a.topk-24-l2-s0").view.record.status == "stopped"
    checkpoint = tmp_path / "cut" / "unfinished" / "topk-24-l2-s0.safetensors"
    assert checkpoint.exists()
    steps = []
    with monkeypatch.context() as patch:
        _failing_at(patch, KeyboardInterrupt(), lambda point: bool(steps.append(point.step)))
        assert run(words(parts, tmp_path / "cut", l0="2", name="a")) == 0
    assert steps[0] == 60  # after the checkpoint at 50
    assert results(tmp_path / "cut") == results(tmp_path / "whole")
    assert not checkpoint.exists()


def test_a_failed_run_stops_no_other_and_is_tried_again(
    parts: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    failures = iter((TrainingError("The loss is nan."), ZeroDivisionError("by zero")))
    real = sweeping.train

    def train(*arguments, **options):
        if error := next(failures, None):
            raise error
        return real(*arguments, **options)

    monkeypatch.setattr(sweeping, "train", train)
    assert run(words(parts, out)) == 1
    said = capsys.readouterr().err
    assert "topk-24-l2-s0 failed: The loss is nan." in said
    assert "2 of 4 runs failed (topk-24-l2-s0, topk-48-l2-s0)" in said
    assert "the reasons stand above. The others are done; the same command tries them again" in said
    found = {record.run: (record.status, record.message) for record in read_records(out)}
    assert found[NAMES[0]] == ("failed", "The loss is nan.")
    assert found[NAMES[2]] == ("failed", "A defect: ZeroDivisionError: by zero")
    assert found[NAMES[1]] == found[NAMES[3]] == ("finished", "")
    assert run(words(parts, out)) == 0
    assert {record.status for record in read_records(out)} == {"finished"}
    assert {view.record.status for view in store().runs.all("out")} == {"finished"}


def test_finished_runs_are_left_alone_and_others_refused(
    parts: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    assert run(words(parts, out, l0="2", features="24")) == 0
    before = {path.name: path.read_bytes() for path in (out / RESULTS).iterdir()}

    def never(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(sweeping, "train", never)
    assert run(words(parts, out, l0="2", features="24")) == 0
    assert {path.name: path.read_bytes() for path in (out / RESULTS).iterdir()} == before
    assert run(words(parts, out, l0="2", features="24", tokens="4k")) == 1
    said = capsys.readouterr().err
    assert "was made with another number of tokens (3200, now 4000): choose another --out" in said
    assert run(words(parts, out, l0="2", features="24", hook_point="blocks.0.mlp.hook_post")) == 1
    said = capsys.readouterr().err
    assert f"with another hook point ({POST}, now blocks.0.mlp.hook_post): choose" in said
    (parts / "more").mkdir(exist_ok=True)
    (parts / "more" / "a.txt").write_text("another text " * 99)
    changes = {"corpus": str(parts / "more"), "context": "12"}
    assert run(words(parts, out, l0="2", features="24", **changes)) == 1
    said = capsys.readouterr().err
    assert "was made with another text and another context (24, now 12): choose another" in said


def test_transcoders_are_compared_as_well(
    parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "pairs"
    plan = tmp_path / "plan.toml"
    lines = [
        f'name = "pairs"\nmodel = "{parts / "tiny"}"\ncorpus = "{parts / "texts"}"\ncontext = 24',
        'hook_point = "blocks.1.mlp.hook_in"\noutput_hook_point = "blocks.1.hook_mlp_out"',
        "skip = true\n[training]\ntokens = 1600\nbatch = 32\ndownstream = 0.1",
        '[[runs]]\narchitectures = ["topk", "jumprelu"]\nfeatures = [24]\nl0 = [2]\n',
    ]
    plan.write_text("\n".join(lines))
    assert run(["sweep", "--plan", str(plan), "--out", str(out), "--keep-weights"]) == 0
    kept = [load_dictionary(out / "dictionaries" / name) for name in NAMES[:1]]
    assert kept[0].output_hook_point == "blocks.1.hook_mlp_out"
    assert kept[0].architecture == "topk_skip_transcoder"
    stored = store().runs.curve("pairs.topk-24-l2-s0").view.record
    assert (stored.output_hook_point, stored.skip) == ("blocks.1.hook_mlp_out", True)
    capsys.readouterr()
    plan.write_text(plan.read_text().replace("skip = true", "skip = false"))
    assert run(["sweep", "--plan", str(plan), "--out", str(out)]) == 1
    assert "with another skip connection (True, now False): choose" in capsys.readouterr().err
    given = ["sweep", "--plan", str(plan), "--out", str(out), "--skip"]
    assert run(given) == 1
    assert "leave --skip out" in capsys.readouterr().err
    plan.write_text(plan.read_text().replace("skip = false", "skip = 1"))
    assert run(["sweep", "--plan", str(plan), "--out", str(out)]) == 1
    assert "skip is 1: give true or false" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"hook_point": "blocks.*.mlp.hook_in", "output_hook_point": "blocks.*.hook_mlp_out"},
            "give the number of a block where blocks.*.mlp.hook_in has a *",
        ),
        ({"output_hook_point": POST}, "writes blocks.1.mlp.hook_post is a sparse autoencoder"),
        (
            {"output_hook_point": "blocks.1.hook_mlp_out", "architectures": "topk,gated"},
            "There are no gated transcoders",
        ),
        ({"l0": "200"}, "An L0 of 200 does not fit a dictionary of 24"),
        ({"architectures": "topk,best"}, "no architecture 'best' to train"),
        ({"hook_point": "blocks.9.mlp.hook_post"}, "blocks.9.mlp.hook_post"),
        ({"model": "nowhere"}, "nowhere"),
        ({"l0": "2.5"}, "TopK's k is a whole number, not 2.5"),
        ({"name": "a/b"}, "'a/b' cannot be part of an address"),
    ],
)
def test_what_cannot_be_trained_is_a_sentence(
    parts: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: dict[str, str],
    said: str,
) -> None:
    assert run(words(parts, tmp_path / "out", **options)) == 1
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out" / RESULTS).exists()


def test_a_folder_that_cannot_be_is_a_sentence(
    parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").write_text("a file")
    assert run(words(parts, tmp_path / "out")) == 1
    assert "out cannot be written (File exists): choose another --out" in capsys.readouterr().err


def test_show_and_import_need_results(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for option in ("--show", "--import"):
        assert run(["sweep", option, str(tmp_path)]) == 1
        assert "holds no results of a sweep" in capsys.readouterr().err
    write_record(tmp_path, made(cost={"seconds": "x"}))
    for option in ("--show", "--import"):
        assert run(["sweep", option, str(tmp_path)]) == 1
        said = capsys.readouterr().err
        assert "topk-64-l8-s0.json is no result of a sweep: cost.seconds is 'x': it should" in said
    assert run(["sweep", "--out", str(tmp_path)]) == 1
    assert "Give a --plan, or a --model and a --hook-point." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *(("--hook-point", POST), ("--tokens", "1M"), ("--l0", "4"), ("--seeds", "1")),
        *(("--seeds", "0"), ("--l0", "8,16,32"), ("--tokens", "3M"), ("--batch", "2048")),
        *(("--corpus", "python-stdlib"), ("--architectures", "topk,batchtopk")),
        *(("--features", "4096"), ("--context", "128"), ("--name", "a"), ("--model", "m")),
    ],
)
def test_a_plan_says_it_all(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, value: str
) -> None:
    assert run(["sweep", "--out", str(tmp_path), "--plan", "p.toml", option, value]) == 1
    assert f"says what is trained: leave {option} out" in capsys.readouterr().err


def test_every_option_beside_a_plan_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--plan", "p.toml", "--seeds", "0", "--l0", "8,16,32", "--tokens", "3M"]
    assert run(["sweep", "--out", str(tmp_path), *given]) == 1
    assert "leave --l0 and --seeds and --tokens out" in capsys.readouterr().err


def test_a_grid_has_the_documented_defaults(tmp_path: Path) -> None:
    given = ["--out", str(tmp_path / "mine"), "--model", "m", "--hook-point", POST]
    plan = planned(build_parser().parse_args(["sweep", *given]))
    assert (plan.name, plan.corpus, plan.n_ctx) == ("mine", "python-stdlib", None)
    assert [one.name for one in plan.runs] == [
        f"{name}-4096-l{l0}-s0" for l0 in (8, 16, 32) for name in ("topk", "batchtopk")
    ]
    assert {(one.config.tokens, one.config.batch) for one in plan.runs} == {(3_000_000, 2048)}


def test_the_only_run_that_fails_has_no_others(
    parts: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def train(*_: object, **__: object) -> None:
        raise TrainingError("The loss is nan.")

    monkeypatch.setattr(sweeping, "train", train)
    assert run(words(parts, tmp_path / "out", l0="2", features="24")) == 1
    said = capsys.readouterr().err
    assert "The only run failed (topk-24-l2-s0); the reason stands above. The same command" in said
    assert run(words(parts, tmp_path / "out", l0="2")) == 1
    said = capsys.readouterr().err
    assert "All 2 runs failed (topk-24-l2-s0, topk-48-l2-s0); the reasons stand above. The" in said
    assert "others" not in said


@pytest.mark.parametrize(("number", "reason"), [(30, "Read-only file system"), (28, "No space")])
def test_a_table_is_printed_where_no_picture_can_be_written(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    number: int,
    reason: str,
) -> None:
    write_record(tmp_path, made())

    def replace(path: Path, target: Path) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "replace", replace)
    assert run(["sweep", "--show", str(tmp_path)]) == 0
    said = capsys.readouterr()
    assert "| topk | 64 | 8 |" in said.out
    assert "The plots are in" not in said.out
    assert f"The plots cannot be drawn into {tmp_path / 'sweep.svg'}: {reason}" in said.err
    assert "free some space" not in said.err


def test_results_made_elsewhere_are_imported(
    parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(words(parts, tmp_path / "out", l0="2", features="24")) == 0
    monkeypatch.setenv("FEATURESCOPE_HOME", str(tmp_path / "another"))
    assert run(["sweep", "--import", str(tmp_path / "out")]) == 0
    assert "The sweep out is in the store, runs: 1." in capsys.readouterr().out
    assert store().runs.sweeps() == {"out": 1}


def test_the_peak_is_of_the_time_since_it_was_forgotten() -> None:
    forget_peak()
    before = peak_bytes()
    block = torch.ones(40_000_000)
    grown = peak_bytes()
    assert grown - before > 100_000_000
    del block
    assert peak_bytes() >= grown - 2**22
