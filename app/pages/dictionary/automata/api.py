"""Automata as JSON, and a check of a step while it is made."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from app.errors import NotFound
from app.pages.dictionary.automata import schema as types
from app.pages.dictionary.automata.view import (
    AutomatonPage,
    StepRow,
    automata_pages,
    automaton_page,
    known_automaton,
)
from app.store.types.automata import MinedAutomata, TrialArm, TriedStep
from app.store.types.catalogue import DictionaryView
from app.web.live.stream import LiveEvent, LiveStream
from app.web.schema import ERRORS
from app.web.site import Site, TheDictionary, TheSite
from app.worker.client.steps import step_trial, trial_arm
from app.worker.protocol.events import Progress, Result, StepArm
from sae_core.circuits.automata.mining import Step

router = APIRouter(
    prefix="/api/v1/d/{model}/{dictionary}/automata", tags=["pages"], responses=ERRORS
)
Number = Annotated[int, Path(ge=0, lt=2**31)]
_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "model": types.TrialEvent,
        "description": "Server-sent events: a `step` now and then, one `arm` for each way to treat "
        "the contexts, one `ready`; the last is `done` or `failed`.",
        "content": {LiveStream.media_type: {}},
    }
}


@router.get("")
def automata(
    dictionary: TheDictionary,
    site: TheSite,
    feature: Annotated[
        int | None, Query(ge=0, lt=2**31, description="Only those with this feature.")
    ] = None,
) -> types.AutomataAnswer:
    """Features whose logits write tokens on which others fire next.

    \f
    For example /api/v1/d/demo/mlp-4096/automata
    """
    mined = site.store.search.automata.of(dictionary) or MinedAutomata((), {})
    chosen = tuple(a for a in mined.automata if feature is None or feature in a.features)
    typeset = site.typeset(dictionary)
    pages = automata_pages(site.store, typeset, dictionary, chosen) if chosen else []
    return types.AutomataAnswer(
        model=dictionary.model,
        dictionary=dictionary.name,
        mined=bool(mined.parameters),
        parameters=dict(mined.parameters),
        total=len(pages),
        automata=[_answer(page) for page in pages],
    )


@router.get("/{name}")
def automaton(dictionary: TheDictionary, name: str, site: TheSite) -> types.AutomatonAnswer:
    """One automaton.

    \f
    For example /api/v1/d/demo/mlp-4096/automata/2-8
    """
    known = known_automaton(site.store, dictionary, name)
    return _answer(automaton_page(site.store, site.typeset(dictionary), dictionary, known))


@router.post(
    "/{name}/{source}/{target}", status_code=200, response_class=LiveStream, responses=_STREAM
)
def check(
    dictionary: TheDictionary, name: str, source: Number, target: Number, site: TheSite
) -> Response:
    """Check a step by steering its source, and keep what comes of it; a kept check is there at
    once.

    \f
    For example /api/v1/d/demo/mlp-4096/automata/2-8/2/8
    """
    steps = {(s.source, s.target): s for s in known_automaton(site.store, dictionary, name).steps}
    step = steps.get((source, target))
    if step is None:
        raise NotFound(f"The automaton {name:.80} has no step from {source} to {target}.")
    tried = site.store.search.automata.trials(dictionary).get((source, target))
    if tried is not None:
        return LiveStream(_nothing(), lambda _: _ready(step, tried))
    request = step_trial(site.store, dictionary, step)
    n_arms = 1 + len(request.strengths) * (2 if request.others else 1)
    speech = TrialSpeech(site, dictionary, step, n_arms)
    return LiveStream(site.live.ask(request), speech.say)


async def _nothing() -> AsyncGenerator[Result | Progress, None]:
    """The worker's events where there is nothing left to do."""
    yield Progress(done=1, total=1)


class TrialSpeech:
    """What the worker's events are to who asked; the last arm is kept with all others first."""

    def __init__(self, site: Site, dictionary: DictionaryView, step: Step, n_arms: int) -> None:
        self._site = site
        self._dictionary = dictionary
        self._step = step
        self._n_arms = n_arms
        self._arms: list[TrialArm] = []

    async def say(self, event: Result | Progress) -> LiveEvent | None:
        """One event."""
        if isinstance(event, Progress):
            return types.TrialProgressEvent(done=event.done, total=event.total)
        if not isinstance(event, StepArm):
            return None
        self._arms.append(trial_arm(event))
        if len(self._arms) < self._n_arms:
            return types.TrialArmEvent(**event.model_dump(exclude={"event"}))
        tried = TriedStep(self._step.source, self._step.target, tuple(self._arms))
        save = self._site.store.search.automata.save_trial
        await run_in_threadpool(save, self._dictionary, tried)
        return _ready(self._step, tried)


def _ready(step: Step, tried: TriedStep) -> types.TrialReadyEvent:
    row = StepRow(step, (), tried)
    return types.TrialReadyEvent(sentence=row.checked, verdict=row.verdict)


def _answer(page: AutomatonPage) -> types.AutomatonAnswer:
    return types.AutomatonAnswer(
        name=page.name,
        recurrent=page.recurrent,
        features=[types.AutomatonFeature(**vars(node)) for node in page.nodes],
        steps=[_step(row) for row in page.rows],
        address=page.address,
    )


def _step(row: StepRow) -> types.AutomatonStep:
    raw = {k: None if v != v else v for k, v in asdict(row.step).items() if k != "tokens"}
    texts = (*row.tokens, *("" for _ in row.step.tokens[len(row.tokens) :]))
    return types.AutomatonStep(
        **raw,
        tokens=[
            types.StepToken(id=token, text=text, times=times)
            for (token, times), text in zip(row.step.tokens, texts, strict=True)
        ],
        trial=None
        if row.tried is None
        else [types.TrialCount(**asdict(arm)) for arm in row.tried.arms],
        verdict=row.verdict,
    )
