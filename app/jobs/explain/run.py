"""The pipeline of `featurescope explain`: read the text, ask for labels, judge them, keep them.

1. One pass of the model over some text gives excerpts of every feature, and of random directions
   that fire as often: the nulls.
2. The endpoint is asked for a label of each, by excerpts of one half of the documents.
3. Judges score each label on the other half, and beside it the label of another feature of like
   density. The nulls come first, so that each feature's scores are compared with theirs.
4. Each feature is kept as soon as it is judged. Whatever was answered is never asked again, so the
   same command goes on after any interruption.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from app.errors import InvalidRequest
from app.jobs.explain.endpoint import ChatEndpoint, EndpointFailure
from app.jobs.explain.explainers import ExplainerKind, explainer_prompt, label_of
from app.jobs.explain.judges import judges
from app.jobs.explain.material import (
    Material,
    Subject,
    example_windows,
    materials,
    stored_subject,
)
from app.jobs.explain.plan import ExplainPlan
from app.jobs.explain.steered_texts import steered_texts
from app.jobs.explain.text_pool import TextPool
from app.jobs.explain.verdicts import CHANCE, Judgement, ScorerKind
from app.jobs.source import Source
from app.store.store import Store
from app.store.types.annotations import LabelKind, NewLabel
from app.store.types.catalogue import DictionaryView
from app.store.types.explanations import Explanation, ScoredLabel, explanation_id
from app.store.written.texts import subject as subject_name
from sae_core.dictionaries.random_directions import random_directions
from sae_core.evaluation.label_scores import null_p_value

MOST_DENSE = 0.25  # a null cannot fire more often
_LEAST_DENSE = 1e-6
ALIKE = "The answers are too few, or all alike, to compute a score from."


@dataclass(frozen=True)
class Labelled:
    """A subject with what the endpoint called it.

    Attributes:
        material: of the subject.
        text: its label; empty where there is none.
        failure: why; empty where there is one.
    """

    material: Material
    text: str
    failure: str


@dataclass(frozen=True)
class Judged:
    """A labelled subject with what the judges say, by kind: of its own label, and of another's."""

    labelled: Labelled
    own: dict[ScorerKind, Judgement]
    shuffled: dict[ScorerKind, Judgement]


Say = Callable[[str, int, int], object]


def gather(
    store: Store, view: DictionaryView, source: Source, plan: ExplainPlan, say: Say
) -> tuple[list[Material], list[Material]]:
    """What is shown of the features, and of as many nulls as are planned.

    `say` is told what is read, how much of it is done, and of how much.

    Raises:
        NotFound: the dictionary has no such feature.
        InvalidRequest: none of the features fires.
    """
    views = [store.feature(view, index) for index in plan.features]
    vocabulary = source.model.vocabulary
    subjects = [stored_subject(source.dictionary, one, vocabulary, view.d_sae) for one in views]
    densities = [s.density for s in subjects if s.density > 0]
    if not densities:
        raise InvalidRequest("None of these features fires: there is nothing to explain.")
    drawn = source.windows.select(plan.tokens, plan.seed)
    # Numbers of windows mean something only in the text that was harvested, cut alike.
    harvested = view.corpus is not None and view.corpus.fingerprint == source.corpus.fingerprint
    if harvested and view.harvest is not None and view.harvest.n_ctx == source.windows.n_ctx:
        drawn = np.concatenate([drawn, example_windows(views)])
    pool = TextPool(source, drawn)
    nulls: list[Subject] = []
    if plan.nulls:
        sample = pool.sample(plan.seed)
        alike = [
            min(MOST_DENSE, max(_LEAST_DENSE, densities[i % len(densities)]))
            for i in range(plan.nulls)
        ]
        made = random_directions(source.dictionary.hook_point, sample, alike, plan.seed)
        maxima = made.encode(sample.to(made.b_dec.dtype)).amax(0).tolist()
        nulls = [
            Subject(made, i, alike[i], maxima[i], tuple(j for j in range(plan.nulls) if j != i)[:5])
            for i in range(plan.nulls)
        ]
    done = 0

    def on_windows(n: int) -> None:
        nonlocal done
        done += n
        say("reading", done, len(pool.numbers))

    both = [
        replace(made, held_out=replace(made.held_out, shown=plan.shown))
        for made in materials(pool, [*subjects, *nulls], plan.seed, on_windows)
    ]
    if ScorerKind.INTERVENTION in plan.scorers:
        for i, material in enumerate(both):
            texts = steered_texts(source.model, pool, material.subject, plan.strength, plan.seed)
            both[i] = replace(material, held_out=replace(material.held_out, steered=texts))
            say("steering", i + 1, len(both))
    return both[: len(subjects)], both[len(subjects) :]


def explain(
    endpoint: ChatEndpoint,
    plan: ExplainPlan,
    real: Sequence[Material],
    nulls: Sequence[Material],
    parallel: int,
    say: Say,
) -> Iterator[tuple[ExplainerKind, Judged, dict[ScorerKind, list[float]]]]:
    """Ask for labels and judge them; each feature comes as soon as it is judged, in order.

    Args:
        endpoint: that is asked.
        plan: which explainers and scorers.
        real: what is shown of the features.
        nulls: and of directions without meaning.
        parallel: questions that are under way at once.
        say: as for `gather`.

    Yields:
        The explainer, the feature's labels and judgements, and the nulls' scores by scorer.

    Raises:
        BudgetSpent: what is left does not cover the next question.
        EndpointGone: the endpoint answers nothing any more.
    """
    with ThreadPoolExecutor(parallel) as threads:
        for kind in plan.explainers:
            labelled = _all(
                [threads.submit(_label, endpoint, kind, material) for material in [*nulls, *real]],
                lambda done, total: say("labelling", done, total),
            )
            groups = labelled[: len(nulls)], labelled[len(nulls) :]
            n_done = 0
            null_scores: dict[ScorerKind, list[float]] = {scorer: [] for scorer in plan.scorers}
            for group in groups:
                tasks = [threads.submit(_judge, endpoint, plan, one, group) for one in group]
                try:
                    for task in tasks:
                        judged = task.result()
                        n_done += 1
                        say("judging", n_done, len(labelled))
                        if group is groups[0]:
                            for scorer, judgement in judged.own.items():
                                null_scores[scorer].append(judgement.score.value)
                        else:
                            yield kind, judged, null_scores
                finally:
                    for task in tasks:
                        task.cancel()


def _all(tasks: list[Future[Labelled]], say: Callable[[int, int], object]) -> list[Labelled]:
    results = []
    try:
        for task in tasks:
            results.append(task.result())
            say(len(results), len(tasks))
    finally:
        for task in tasks:
            task.cancel()
    return results


def _label(endpoint: ChatEndpoint, kind: ExplainerKind, material: Material) -> Labelled:
    if material.too_little:
        return Labelled(material, "", material.too_little)
    try:
        reply = endpoint.chat(explainer_prompt(kind, material.evidence))
        return Labelled(material, label_of(reply), "")
    except EndpointFailure as error:
        return Labelled(material, "", str(error))


def _judge(
    endpoint: ChatEndpoint, plan: ExplainPlan, labelled: Labelled, group: Sequence[Labelled]
) -> Judged:
    """Score a label, and beside it that of another of its group with the most alike density."""
    if not labelled.text:
        return Judged(labelled, {}, {})
    material = labelled.material
    others = [other for other in group if other.text and other.text != labelled.text]
    by_kind = judges(plan.embedding_model, [other.text for other in others])

    def distance(other: Labelled) -> float:
        density = other.material.subject.density
        return abs(math.log(max(density, 1e-9)) - math.log(max(material.subject.density, 1e-9)))

    stranger = min(others, key=distance, default=None)
    seed = plan.seed + material.subject.feature
    own: dict[ScorerKind, Judgement] = {}
    shuffled: dict[ScorerKind, Judgement] = {}
    for scorer in plan.scorers:
        own[scorer] = by_kind[scorer](endpoint, labelled.text, material.held_out, seed)
        # The intruder's judge sees no label, so that another one changes nothing.
        if stranger is not None and scorer is not ScorerKind.INTRUDER:
            shuffled[scorer] = by_kind[scorer](endpoint, stranger.text, material.held_out, seed)
    return Judged(labelled, own, shuffled)


def explanation(
    view: DictionaryView,
    kind: ExplainerKind,
    model: str,
    settings: dict[str, Any],
    judged: Judged,
    nulls: dict[ScorerKind, list[float]],
) -> Explanation:
    """What the store keeps of a judged feature."""
    index = judged.labelled.material.subject.feature
    return Explanation(
        id=explanation_id(subject_name(view), index, str(kind), model, settings),
        index=index,
        explainer=str(kind),
        model=model,
        text=judged.labelled.text,
        failure=judged.labelled.failure,
        settings=settings,
        scores=tuple(
            _scored(scorer, judgement, judged.shuffled.get(scorer), nulls[scorer])
            for scorer, judgement in judged.own.items()
        ),
    )


def _scored(
    scorer: ScorerKind, own: Judgement, shuffled: Judgement | None, nulls: Sequence[float]
) -> ScoredLabel:
    finite = [null for null in nulls if math.isfinite(null)]
    p = null_p_value(own.score.value, finite) if finite else math.nan
    failures = dict(own.failures)
    if math.isnan(own.score.value) and not failures:
        failures[ALIKE] = own.score.n
    return ScoredLabel(
        scorer=str(scorer),
        value=_number(own.score.value),
        low=_number(own.score.low),
        high=_number(own.score.high),
        n=own.score.n,
        shuffled=None if shuffled is None else _number(shuffled.score.value),
        null_p=_number(p),
        details={
            "chance": CHANCE[scorer],
            "failures": failures,
            "nulls": sorted(finite),
            "excerpts": list(own.excerpts),
        },
    )


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def keep(store: Store, view: DictionaryView, made: Explanation) -> None:
    """Keep an explanation, and its label among those of people, marked as an explainer's."""
    store.explanations.save(view, made)
    if made.text:
        note = "; ".join(score_sentence(score) for score in made.scores)
        author = f"{made.model} ({made.explainer})"[:100]
        store.labels.take(
            view, [NewLabel(made.index, made.text, note, author, LabelKind.EXPLAINER)]
        )


def score_sentence(score: ScoredLabel) -> str:
    """A score in words, beside what it has to be held against."""
    if score.value is None:
        reason = next(iter(score.details.get("failures", {})), "too little was answered")
        return f"{score.scorer}: no score ({reason})"
    parts = [f"{score.scorer} {score.value:.2f}"]
    if score.low is not None and score.high is not None:
        parts[0] += f" ({score.low:.2f} to {score.high:.2f})"
    if score.shuffled is not None:
        parts.append(f"another feature's label {score.shuffled:.2f}")
    if score.null_p is not None:
        above = score.null_p <= 0.05
        parts.append(f"{'above' if above else 'not above'} its null (p {score.null_p:.2f})")
    return ", ".join(parts)
