"""The job behind a check of a step: progress, then every arm as the core counts it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from app.worker.process.failures import failure
from app.worker.process.jobs.registry import TorchWorkbench
from app.worker.protocol.events import FailureCode, Progress, StepArm
from app.worker.protocol.requests import ModelRef, TryStepRequest
from sae_core.circuits.automata.steering import StepTrial, try_step
from sae_core.dictionaries.checkpoint import load_dictionary
from sae_core.errors import FeaturescopeError
from sae_core.language_model.model import load_model
from tests.app.worker.process.test_jobs_graph import ref, workbench  # noqa: F401
from tests.app.worker.tiny import save_features

TRIED: dict[str, Any] = {
    "source": 3,
    "target": 5,
    "maximum": 4.0,
    "strengths": (1.0, 8.0),
    "contexts": tuple((0, n, 40 + n, 9) for n in range(1, 19)),
    "written": tuple(range(10)),
    "others": (1, 7),
}


def test_arms_are_those_of_the_core(
    workbench: TorchWorkbench,  # noqa: F811
    ref: ModelRef,  # noqa: F811
    tmp_path: Path,
) -> None:
    features = save_features(tmp_path / "features")
    events = list(workbench.work(TryStepRequest(model=ref, dictionary=features, **TRIED)))
    arms = [event for event in events if isinstance(event, StepArm)]
    steps = [event for event in events if isinstance(event, Progress)]
    model = load_model(Path(ref.path))
    own = [
        count
        for count in try_step(model, load_dictionary(tmp_path / "features"), StepTrial(**TRIED))
        if count is not None
    ]
    assert [arm.model_dump(exclude={"event"}) for arm in arms] == [vars(count) for count in own]
    assert len(arms) == 5
    # Two rounds of contexts for each arm.
    assert [event.done for event in steps[-10:]] == list(range(1, 11))
    assert {event.total for event in steps[-10:]} == {10}


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"source": 4000}, "4000"),
        ({"contexts": ((0, 1), (0, 1, 2))}, "equally long"),
        ({"contexts": ((0, 5000),)}, "does not know"),
    ],
)
def test_what_cannot_be_tried_is_a_sentence(
    workbench: TorchWorkbench,  # noqa: F811
    ref: ModelRef,  # noqa: F811
    tmp_path: Path,
    changed: dict[str, Any],
    words: str,
) -> None:
    features = save_features(tmp_path / "features")
    request = TryStepRequest(model=ref, dictionary=features, **{**TRIED, **changed})
    with pytest.raises(FeaturescopeError, match=words) as refused:
        list(workbench.work(request))
    assert failure(refused.value).code is FailureCode.INVALID
