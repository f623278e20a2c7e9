"""A run of `featurescope rate`: a language model rates the items of a study, like any rater.

1. Each item that the model has not rated yet is shown as a blind sheet, in the rater's own order.
2. What is answered is kept in a book first, so that no answer is paid for twice, whatever happens.
3. Each rating goes into the store as soon as it has come; an answer that is none goes there with
   its reason, and is tried again by the next run of the same command.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from tqdm import tqdm

from app.errors import InvalidRequest, NotFound
from app.jobs.explain.answer_book import AnswerBook
from app.jobs.explain.costs import Costs, Estimate
from app.jobs.explain.endpoint import Endpoint, EndpointFailure, EndpointSpec, Prompt
from app.jobs.rating.prompt import VERSION, rating_of, rating_prompt
from app.settings import Settings
from app.store.store import Store, open_store
from app.store.types.ratings import (
    NewRating,
    RaterKind,
    RatingItem,
    RatingView,
    StudyView,
    in_order,
)
from app.store.written.ratings import latest
from sae_core.harvest.blinding import blind_sheet

GONE = "The store no longer shows what this item was drawn from."


@dataclass(frozen=True)
class AskedItem:
    """An item with its question; None: there is nothing to show of it."""

    item: RatingItem
    prompt: Prompt | None


def rate_study(
    settings: Settings,
    study: str,
    spec: EndpointSpec,
    costs: Costs,
    *,
    rater: str = "",
    parallel: int = 4,
    only_estimate: bool = False,
) -> Iterator[RatingView] | str:
    """Let a model rate all that it has not rated; each rating is kept before it is given out.

    Args:
        settings: where the store is.
        study: id of the study, the beginning of it, or its title.
        spec: the endpoint.
        costs: counts and bounds what is spent.
        rater: name that the ratings are kept under; empty: the model's.
        parallel: questions that are under way at once.
        only_estimate: ask nothing.

    Returns:
        The ratings as they are made; or, for an estimate, its sentence.

    Raises:
        NotFound: there is no such study.
        InvalidRequest: several studies have that name.
    """
    rater = rater or spec.model
    facts = {"endpoint": spec.url, "model": spec.model, "prompt": VERSION}
    with open_store(settings) as store:
        view = find_study(store, study)
        asked = _open_items(store, view, rater, facts)
    if only_estimate:
        prompts = [one.prompt for one in asked if one.prompt is not None]
        read = sum(prompt.estimated_tokens for prompt in prompts)
        written = sum(prompt.most_tokens for prompt in prompts)
        return Estimate(len(prompts), read, written).sentence(costs.prices)

    def run() -> Iterator[RatingView]:
        book = AnswerBook(settings.home / "rate" / "answers.jsonl")
        endpoint = Endpoint(spec, book, costs)

        def answer(one: AskedItem) -> NewRating:
            made: dict[str, Any] = {"kind": RaterKind.MODEL, "settings": facts}
            if one.prompt is None:
                return NewRating(rater, None, failure=GONE, **made)
            try:
                scores, said = rating_of(endpoint.chat(one.prompt))
            except EndpointFailure as error:
                return NewRating(rater, None, failure=str(error), **made)
            return NewRating(rater, scores, said, **made)

        try:
            with book, open_store(settings) as store, ThreadPoolExecutor(parallel) as threads:
                tasks = [(one, threads.submit(answer, one)) for one in asked]
                try:
                    for one, task in tqdm(tasks, desc="rating", unit="item"):
                        yield store.ratings.keep(view.id, one.item.id, task.result()).rating
                finally:
                    for _, task in tasks:
                        task.cancel()
        finally:
            endpoint.close()

    return run()


def find_study(store: Store, words: str) -> StudyView:
    """The study of an id, of a beginning that no other id has, or of a title.

    Raises:
        NotFound: there is none.
        InvalidRequest: there are several.
    """
    studies = store.ratings.studies()
    for fitting in (
        [view for view in studies if view.id == words],
        [view for view in studies if view.title == words],
        [view for view in studies if words and view.id.startswith(words)],
    ):
        if len(fitting) == 1:
            return fitting[0]
        if fitting:
            ids = ", ".join(view.id for view in fitting[:5])
            raise InvalidRequest(
                f"{len(fitting)} studies are called {words!r:.80}: name one of {ids}."
            )
    known = ", ".join(f"{view.title!r} ({view.id[:8]})" for view in studies[:10])
    there = f"There are {known}." if known else "None is made yet: /rate makes them."
    raise NotFound(f"There is no study {words!r:.80}. {there}")


def _open_items(
    store: Store, view: StudyView, rater: str, facts: dict[str, Any]
) -> list[AskedItem]:
    """What the rater has not rated with these settings."""
    own = {item: r for (item, _), r in latest(store.ratings.all_of(view.id, rater)).items()}
    asked = []
    for item in in_order(store.ratings.items(view.id), rater):
        rated = own.get(item.id)
        if rated is not None and rated.scores is not None and dict(rated.settings) == facts:
            continue
        shown = store.ratings.feature(view, item)
        if shown is None or not shown.record.groups:
            asked.append(AskedItem(item, None))
            continue
        sheet = blind_sheet(shown.record, shown.windows, view.every_mark)
        vocabulary = store.vocabulary(shown.dictionary.model_id)
        asked.append(AskedItem(item, rating_prompt(sheet, vocabulary)))
    return asked
