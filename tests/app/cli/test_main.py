from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.request import urlopen

import pytest

from app import __version__
from app.cli.commands.making import harvest
from app.cli.commands.store import db
from app.cli.main import build_parser, run
from app.errors import StoreError
from app.listening import listen

FEATURESCOPE = [sys.executable, "-m", "app"]


HEAVY = ("torch", "numpy", "transformers", "fastapi", "sqlalchemy", "pydantic", "uvicorn")
COMMANDS = [
    ["serve"],
    ["worker"],
    ["harvest"],
    ["add"],
    ["evaluate"],
    ["sweep"],
    ["demo"],
    ["demo-train"],
    ["train"],
    ["toy"],
    ["db"],
    ["db", "upgrade"],
    ["db", "downgrade"],
    ["db", "dump"],
    ["export"],
    ["import"],
    ["list"],
    ["remove"],
    ["forget"],
    ["verify"],
    ["version"],
]


def hear_ctrl_c() -> None:
    """In a child: a suite that a shell started in its background has Ctrl-C ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture(autouse=True)
def _home_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEATURESCOPE_HOME", str(tmp_path / "home"))


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["version"]) == 0
    assert capsys.readouterr().out == f"featurescope {__version__}\n"


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_explains_itself(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run([*words, "--help"])
    assert ended.value.code == 0
    assert "usage: featurescope " + " ".join(words) in capsys.readouterr().out


def test_help_answers_at_once() -> None:
    seconds = []
    for _ in range(3):
        start = time.monotonic()
        subprocess.run([*FEATURESCOPE, "--help"], check=True, stdout=subprocess.DEVNULL)
        seconds.append(time.monotonic() - start)
    assert min(seconds) < 0.5


def test_the_parser_imports_nothing_heavy() -> None:
    program = (
        "import sys, json, app.cli.main; app.cli.main.build_parser(); "
        "print(json.dumps([*sys.modules]))"
    )
    answer = subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.PIPE)
    assert not set(HEAVY) & set(json.loads(answer.stdout))


def test_an_error_is_a_sentence_and_not_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_settings: object, _arguments: object) -> None:
        raise StoreError("The disk is full: make room and try again.")

    monkeypatch.setattr(db, "_upgrade", fail)
    assert run(["db", "upgrade"]) == 1
    told = capsys.readouterr()
    assert told.err == "featurescope: The disk is full: make room and try again.\n"
    assert told.out == ""


@pytest.mark.parametrize(
    "words",
    [
        ["harvest", "--model", "m", "--neurons", "blocks.0.mlp.hook_post"],
        ["add", "--model", "m", "--sae", "s", "--corpus", "t"],
        ["evaluate", "m/s"],
        ["verify", "m/s"],
    ],
    ids=lambda words: words[0],
)
def test_every_command_reads_numbers_of_tokens_alike(words: list[str]) -> None:
    assert build_parser().parse_args([*words, "--tokens", "40k"]).tokens == 40_000


def test_interrupting_a_harvest_says_how_to_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(_arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(harvest, "run", interrupt)
    assert run(["harvest", "--model", "m", "--neurons", "blocks.0.mlp.hook_post"]) == 130
    assert "same command again to go on from the last checkpoint" in capsys.readouterr().err


def test_a_dictionary_or_the_neurons_but_not_both(capsys: pytest.CaptureFixture[str]) -> None:
    for words in ([], ["--dictionary", "d", "--neurons", "h"]):
        with pytest.raises(SystemExit) as ended:
            run(["harvest", "--model", "m", *words])
        assert ended.value.code == 2
    assert "--neurons" in capsys.readouterr().err


HARVEST = ["--model", "m", "--neurons", "blocks.0.mlp.hook_post"]


@pytest.mark.parametrize(
    "words",
    [
        *(
            [command, *HARVEST, *option]
            for command in ("harvest", "evaluate")
            for option in (["--tokens", "0"], ["--context", "1"], ["--seed", "-1"])
        ),
        ["harvest", *HARVEST, "--tokens", "many"],
        ["demo-train", "--out", "d", "--seed", "-1"],
        *(
            [command, "--port", port]
            for command in ("serve", "worker", "demo")
            for port in ("99999", "65536", "-1")
        ),
    ],
    ids=" ".join,
)
def test_a_number_that_makes_no_sense_is_refused(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run(words)
    assert ended.value.code == 2
    option, value = words[-2:]
    told = capsys.readouterr().err
    wanted = "no number of tokens" if option == "--tokens" else "not a whole number"
    assert f"argument {option}: '{value}' is {wanted}" in told


def test_the_least_and_the_largest_numbers_are_taken() -> None:
    least = ["--tokens", "1", "--context", "2", "--seed", "0"]
    read = build_parser().parse_args(["harvest", *HARVEST, *least])
    assert (read.tokens, read.context, read.seed) == (1, 2, 0)
    for port in (0, 65535):
        assert build_parser().parse_args(["serve", "--port", str(port)]).port == port


def test_a_bad_setting_is_an_error_of_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FEATURESCOPE_DEVICE", "abacus")
    assert run(["db", "upgrade"]) == 1
    assert capsys.readouterr().err.startswith(
        "featurescope: The setting FEATURESCOPE_DEVICE cannot be used"
    )


def test_serving_on_a_taken_port_tells_which(capsys: pytest.CaptureFixture[str]) -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        assert run(["serve", "--port", str(port)]) == 1
    assert f"Port {port} on 127.0.0.1 is taken" in capsys.readouterr().err


def test_serving_the_network_needs_an_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["serve", "--host", "0.0.0.0"]) == 1
    assert run(["worker", "--host", "0.0.0.0"]) == 1
    assert capsys.readouterr().err.count("--allow-network") == 2


def test_an_empty_store_can_be_made_dumped_and_taken_back(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["db", "upgrade"]) == 0
    assert run(["db", "dump"]) == 0
    first = capsys.readouterr().out
    assert run(["db", "downgrade", "base"]) == 1  # nobody is there to be asked
    asked = capsys.readouterr()
    assert "deletes everything in the store" in asked.out
    assert "--yes" in asked.err
    assert run(["db", "downgrade", "base", "--yes"]) == 0
    assert run(["db", "dump"]) == 1
    assert "holds no store yet" in capsys.readouterr().err
    assert run(["db", "upgrade"]) == 0
    assert run(["db", "dump"]) == 0
    assert capsys.readouterr().out.endswith(first.partition("\n")[2])


def test_a_reader_that_leaves_early_is_no_error() -> None:
    run(["db", "upgrade"])
    command = f"{sys.executable} -m app db dump | true; exit ${{PIPESTATUS[0]}}"
    ended = subprocess.run(["bash", "-c", command], stderr=subprocess.PIPE, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_serve_announces_its_url_when_it_answers_and_stops_quietly() -> None:
    environment = {**os.environ, "FEATURESCOPE_WORKER_URL": "http://127.0.0.1:9"}
    with subprocess.Popen(
        [*FEATURESCOPE, "serve", "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        preexec_fn=hear_ctrl_c,
    ) as serving:
        assert serving.stdout is not None
        line = serving.stdout.readline()
        assert line.startswith("Featurescope is at http://127.0.0.1:")
        with urlopen(line.split()[3] + "healthz", timeout=10) as answer:
            assert answer.status == 200
        serving.send_signal(signal.SIGINT)
        out, err = serving.communicate(timeout=10)
    assert (serving.returncode, out, err.strip()) == (130, "", "Stopped.")


def test_a_worker_says_where_it_listens() -> None:
    with subprocess.Popen(
        [*FEATURESCOPE, "worker", "--host", "127.0.0.2", "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=hear_ctrl_c,
    ) as serving:
        assert serving.stdout is not None
        line = serving.stdout.readline()
        assert line.startswith("The worker is at http://127.0.0.2:")
        with urlopen(line.split()[4] + "health", timeout=60) as answer:
            assert answer.status == 200
        serving.send_signal(signal.SIGINT)
        out, err = serving.communicate(timeout=30)
    assert (serving.returncode, out, err.strip()) == (130, "", "Stopped.")


def test_a_full_disk_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for error in (
        OSError(errno.ENOSPC, "No space left on device"),
        RuntimeError("I/O error: No space left on device (os error 28)"),
    ):

        def fail(*_: object, error: Exception = error) -> None:
            raise error

        monkeypatch.setattr("app.store.store.open_store", fail)
        assert run(["db", "upgrade"]) == 1
        assert "The disk is full. Make room" in capsys.readouterr().err
