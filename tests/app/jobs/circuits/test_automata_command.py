"""`featurescope automata` on a small model: what it keeps, prints and checks, what it refuses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app.cli.main import run
from app.settings import Settings
from app.store.store import open_store
from app.store.types.automata import MinedAutomata
from app.worker.client import steps
from sae_core.circuits.automata.shapes import Automaton
from tests.app.jobs.circuits.test_circuit import folder, home  # noqa: F401
from tests.app.pretend.automata import PARAMETERS, STEP


def test_it_mines_prints_and_checks(
    home: Path,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Every neuron fires somewhere in every window, but not at its start.
    monkeypatch.setattr(steps, "LENGTH", 2)
    assert run(["automata", "tiny/neurons", "--support", "1"]) == 0
    said = capsys.readouterr().out
    assert "automata of tiny/neurons" in said
    assert "tokens of 10 documents" in said  # half of the twenty
    with open_store(Settings(home=home / "home")) as store:
        view = store.dictionary("tiny", "neurons")
        mined = store.search.automata.of(view)
        assert mined is not None
        assert mined.parameters["support"] == 1
        assert f"{mined.parameters['tested']:,} with the mechanism" in said
        # So small a model has no steps of its own to try: one from a neuron silent at the start.
        text = steps.firing_text(store, view)
        starts = np.flatnonzero(np.diff(text.windows, prepend=-1))
        opening = text.features[np.isin(text.at, (starts, starts + 1))]
        source, target = np.setdiff1d(np.arange(view.d_sae), opening)[:2].tolist()
        step = replace(STEP, source=source, target=target)
        automaton = Automaton((source, target), (step,), False)
        store.search.automata.save(view, MinedAutomata((automaton,), PARAMETERS))
    assert run(["automata", "tiny/neurons", "--only", automaton.name, "--check", "1"]) == 0
    said = capsys.readouterr().out
    assert "held out: 31 of 62 firings, 50.0 %, lift 44" in said
    assert "steering: unsteered" in said
    with open_store(Settings(home=home / "home")) as store:
        (tried,) = store.search.automata.trials(view).values()
    assert [arm.arm for arm in tried.arms] == ["unsteered", *["steered", "random"] * 4]
    assert f"unsteered {tried.arms[0].fired} of {tried.arms[0].contexts}" in said


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["tiny/nothing"], "There is no dictionary 'nothing'"),
        (["tiny/neurons", "--only", "7-8-9"], "has no automaton '7-8-9'"),
    ],
)
@pytest.mark.usefixtures("home")
def test_what_is_not_there_is_a_sentence(
    capsys: pytest.CaptureFixture[str], words: list[str], sentence: str
) -> None:
    assert run(["automata", *words]) == 1
    assert sentence in capsys.readouterr().err
