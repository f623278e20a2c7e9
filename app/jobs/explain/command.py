"""A run of `featurescope explain`, from a store and an endpoint to kept explanations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from tqdm import tqdm

from app.errors import NotFound
from app.jobs.explain.answer_book import AnswerBook
from app.jobs.explain.costs import Costs
from app.jobs.explain.endpoint import Endpoint, EndpointSpec
from app.jobs.explain.estimate import estimate
from app.jobs.explain.plan import ExplainPlan
from app.jobs.explain.run import explain, explanation, gather, keep
from app.jobs.harvested.evaluate import stored_spec
from app.jobs.source import open_source
from app.settings import Settings
from app.store.store import open_store
from app.store.types.explanations import Explanation

N_DRAWN = 20


def explain_features(
    settings: Settings,
    model: str,
    dictionary: str,
    plan: ExplainPlan,
    spec: EndpointSpec,
    costs: Costs,
    *,
    parallel: int = 4,
    corpus: str | None = None,
    only_estimate: bool = False,
) -> Iterator[Explanation] | str:
    """Explain features of a stored dictionary; each is kept before it is given out.

    Args:
        settings: where the store is, and the device.
        model: name of the model.
        dictionary: name of the dictionary.
        plan: what is explained, and how.
        spec: the endpoint.
        costs: counts and bounds what is spent.
        parallel: questions that are under way at once.
        corpus: the harvested text, where the store does not say how it is read.
        only_estimate: ask nothing.

    Returns:
        The explanations as they are made; or, for an estimate, its sentence.

    Raises:
        NotFound: there is no such dictionary or feature.
        InvalidRequest: nothing of it can be explained, or its text is not known.
    """
    bars = _Bars()
    source = open_source(settings, stored_spec(settings, model, dictionary, corpus))
    with open_store(settings) as store:
        view = store.dictionary(model, dictionary)
        real, nulls = gather(store, view, source, plan, bars.show)
    bars.close()
    if only_estimate:
        return estimate(plan, real, nulls).sentence(costs.prices)

    def run() -> Iterator[Explanation]:
        bars = _Bars()
        book = AnswerBook(settings.home / "explain" / "answers.jsonl")
        endpoint = Endpoint(spec, book, costs)
        facts = plan.settings(spec.url)
        try:
            with book, open_store(settings) as store:
                for kind, judged, scores in explain(
                    endpoint, plan, real, nulls, parallel, bars.show
                ):
                    made = explanation(view, kind, spec.model, facts, judged, scores)
                    keep(store, view, made)
                    yield made
        finally:
            endpoint.close()
            bars.close()

    return run()


def drawn_features(
    settings: Settings, model: str, dictionary: str, seed: int, n: int = N_DRAWN
) -> tuple[int, ...]:
    """Some features that fire, drawn evenly, by index.

    Raises:
        NotFound: there is no such dictionary, nothing is published of it, or nothing fires.
    """
    with open_store(settings) as store:
        view = store.dictionary(model, dictionary)
        firings = store.scales(view).firings
    alive = firings.nonzero()[0].tolist()
    if not alive:
        raise NotFound(f"No feature of {view.title} ever fired in its harvest.")
    return tuple(np.sort(np.random.default_rng(seed).permutation(alive)[:n]).tolist())


class _Bars:
    """A bar for each kind of work, on standard error."""

    def __init__(self) -> None:
        self._bars: dict[str, tqdm[Any]] = {}

    def show(self, what: str, done: int, total: int) -> None:
        """How far some work is."""
        if what not in self._bars or self._bars[what].n > done:
            self._bars[what] = tqdm(total=total, desc=what)
        bar = self._bars[what]
        bar.update(done - bar.n)

    def close(self) -> None:
        """End all bars."""
        for bar in self._bars.values():
            bar.close()
