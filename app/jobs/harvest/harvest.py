"""Harvesting: from a model, a dictionary and a text to published pages."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from filelock import FileLock, Timeout

from app.errors import InvalidRequest
from app.jobs.harvest.folders import HARVESTS, LOCK, note_harvest
from app.jobs.harvest.rules import RULES, learnt_rules
from app.jobs.harvested.evaluate import EVALUATION_TOKENS, kept, record
from app.jobs.progress import Reporter
from app.jobs.source import Source, SourceSpec, open_source
from app.settings import Settings
from app.store.store import Store, open_store
from app.store.types.catalogue import DictionaryView, HarvestRecord
from sae_core.dictionaries.checkpoint import dictionary_checksum
from sae_core.errors import HarvestError
from sae_core.evaluation.evaluation import evaluate as evaluate_dictionary
from sae_core.harvest.feature_records import feature_records, window_records
from sae_core.harvest.firing_log import FiringLog
from sae_core.harvest.harvest import HarvestPlan, plan_harvest, run_harvest
from sae_core.harvest.kept_firings import keep_firings
from sae_core.harvest.landing import landing
from sae_core.harvest.records import (
    ContextEffect,
    FeatureRecord,
    GroupKind,
    Landing,
    WindowRecord,
)
from sae_core.interventions.ablation import ablate

PHRASES = 1
"""Noted with a harvest: another number where what is kept for phrases comes out otherwise."""


@dataclass(frozen=True)
class HarvestParts:
    """What a harvest makes beside its features.

    Attributes:
        rules: a rule for each.
        phrases: text and firings, to find phrases in.
        evaluation_tokens: how many the dictionary's figures are made of.
    """

    rules: bool = True
    phrases: bool = True
    evaluation_tokens: int = EVALUATION_TOKENS

    @property
    def versions(self) -> dict[str, int]:
        """What is noted of each that is made."""
        made = (("rules", RULES, self.rules), ("phrases", PHRASES, self.phrases))
        return {name: version for name, version, wanted in made if wanted}


EVERY_PART = HarvestParts()


def harvest(
    settings: Settings,
    spec: SourceSpec,
    tokens: int | None = None,
    seed: int = 0,
    ablate_top: bool = False,
    replace: bool = False,
    rules: bool = True,
    phrases: bool = True,
    evaluation_tokens: int = EVALUATION_TOKENS,
) -> None:
    """Harvest a dictionary and publish it; what is published already is not computed again.

    A killed harvest goes on after its last run when the same command is given again. With
    `ablate_top` the ablation effects of each feature's top contexts are computed, too. Another
    model or dictionary of the same name gives way only with `replace`. Without `rules` none are
    learnt; without `phrases` neither text nor firings are kept to find phrases in. The dictionary's
    figures are made of `evaluation_tokens`.
    """
    with open_store(settings) as store:
        source = open_source(settings, spec)
        plan = plan_harvest(source.windows, tokens, seed)
        parts = HarvestParts(rules, phrases, evaluation_tokens)
        harvest_source(
            settings, store, source, plan, ablate_top=ablate_top, replace=replace, parts=parts
        )


def harvest_source(
    settings: Settings,
    store: Store,
    source: Source,
    plan: HarvestPlan,
    *,
    ablate_top: bool = False,
    replace: bool = False,
    parts: HarvestParts = EVERY_PART,
) -> None:
    """As `harvest`, of parts that are open already."""
    if not replace:
        _check_names(store, source)
    reporter = Reporter(store, *source.spec.titles)
    try:
        if (view := _published(store, source, plan, parts)) is None:
            _harvest(settings, store, source, plan, reporter, parts)
            view = _published(store, source, plan, parts)
        else:
            # The folders may have moved since.
            store.add_model(source.model_record())
            store.add_dictionary(source.dictionary_record(view.evaluation))
        if ablate_top and view is not None:
            _ablate_top(store, source, view, reporter)
    finally:
        reporter.clear()
    # As pages count them: special tokens within the text are read, but are no text.
    n_tokens = view.n_tokens if view is not None else plan.n_tokens
    print(f"{source.title} is harvested: {n_tokens:,} tokens.", file=sys.stderr)


def _check_names(store: Store, source: Source) -> None:
    """Refuse to let another model or dictionary of the same name disappear."""
    model_name, _ = source.spec.titles
    for view in store.catalogue():
        if view.model == model_name and view.model_checksum != source.model.checksum:
            raise InvalidRequest(
                f"The store has another model named {model_name!r}, from "
                f"{view.model_path or 'an import without weights'}. Choose a --model-name, "
                "or give --replace to let it and its dictionaries go."
            )
        same = (view.hook_point, view.checksum) == (source.dictionary.hook_point, source.checksum)
        if (view.model, view.name) == source.spec.titles and not same:
            raise InvalidRequest(
                f"The store has another dictionary {source.title}, at {view.hook_point}. Choose a "
                "--name, or give --replace to let it go."
            )


def _published(
    store: Store, source: Source, plan: HarvestPlan, parts: HarvestParts
) -> DictionaryView | None:
    """The dictionary in the store, where this very harvest of it is published."""
    wanted = _settings(source, plan, parts)
    for view in store.catalogue():
        if (view.model, view.name) == source.spec.titles and view.harvest:
            here = view.harvest.settings
            same = all(here.get(key) == wanted[key] for key in ("identity", "writers_checksum"))
            same = same and all(here.get(k) == made for k, made in parts.versions.items())
            # Text that is not to be kept must not stay; a rule that nobody asked for may.
            same = same and (parts.phrases or "phrases" not in here)
            return view if same and here.get("writers") == wanted["writers"] else None
    return None


def _settings(source: Source, plan: HarvestPlan, parts: HarvestParts) -> dict[str, Any]:
    """What else the result of a harvest depends on."""
    header = plan.header(source.model, source.dictionary, source.checksum)
    writers = source.spec.writers
    return {
        "identity": header.identity,
        "batch_windows": plan.batch_windows,
        "joint_share": header.joint_share,
        "documents": len(np.unique(plan.windows.document_of(plan.order))),
        "writers": source.spec.writers_title,
        "writers_checksum": dictionary_checksum(writers) if writers else None,
        "torch": torch.__version__,
        **parts.versions,
        **({"packing": "isolated: windows share rows unseen by each other"} if plan.packed else {}),
    }


def _harvest(
    settings: Settings,
    store: Store,
    source: Source,
    plan: HarvestPlan,
    reporter: Reporter,
    parts: HarvestParts,
) -> None:
    header = plan.header(source.model, source.dictionary, source.checksum)
    folder = settings.home / HARVESTS / header.identity[:24]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / LOCK, timeout=0):
            note_harvest(folder, *source.spec.titles)
            _harvest_alone(store, source, plan, reporter, FiringLog(folder, header), parts)
    except Timeout as error:
        raise HarvestError(
            f"Another process harvests {source.title} right now: wait for it, or stop it first."
        ) from error


def _harvest_alone(
    store: Store,
    source: Source,
    plan: HarvestPlan,
    reporter: Reporter,
    log: FiringLog,
    parts: HarvestParts,
) -> None:
    model, dictionary = source.model, source.dictionary
    # First pass: activations of all tokens, into a log on disk from which a rerun goes on.
    with reporter.phase("harvesting", plan.n_tokens, "tok", log.n_tokens) as phase:
        run_harvest(
            model, dictionary, plan, log, on_progress=lambda p: phase.update(p.done, p.rate)
        )
    evaluation = _evaluation(store, source, plan.seed, parts.evaluation_tokens, reporter)
    # Second: one record for each feature, made while the store takes them. The windows come
    # after the features, which say what windows they show.
    shown: set[int] = set()

    def features() -> Iterator[FeatureRecord]:
        made = feature_records(model, dictionary, plan, log, source.writers)
        for feature in reporter.each("describing", made, dictionary.d_sae, "feat"):
            for group in feature.groups:
                shown.update(group.examples.windows.tolist())
            yield feature

    def windows() -> Iterator[WindowRecord]:
        yield from window_records(plan, model, np.array(sorted(shown), dtype=np.int64))

    store.publish(
        HarvestRecord(
            model=source.spec.titles[0],
            dictionary=source.spec.titles[1],
            corpus=source.corpus.name,
            seed=plan.seed,
            n_ctx=plan.windows.n_ctx,
            n_tokens=log.n_tokens,
            n_windows=len(plan.order),
            settings=_settings(source, plan, parts),
            fingerprint=source.corpus.fingerprint,
        ),
        features(),
        windows(),
        learnt_rules(source, plan, log, reporter) if parts.rules else (),
        keep_firings(plan.windows, log, model.vocabulary) if parts.phrases else None,
        model=source.model_record(),
        dictionary=source.dictionary_record(evaluation),
        corpus=source.corpus_record(),
    )
    shutil.rmtree(log.folder, ignore_errors=True)


def _evaluation(
    store: Store, source: Source, seed: int, tokens: int, reporter: Reporter
) -> Mapping[str, Any]:
    """The dictionary's figures; where the store has a whole evaluation on this text, that one."""
    for view in store.catalogue():
        if (view.model, view.name) == source.spec.titles and view.evaluation and kept(view, source):
            return view.evaluation
    numbers = source.evaluation_windows(tokens, seed)
    with reporter.phase("evaluating", len(numbers), "win") as phase:
        result = evaluate_dictionary(
            source.model, source.dictionary, source.windows, numbers, lambda n: phase.update(n)
        )
    return record(source, result, tokens, seed, len(numbers))


def _ablate_top(store: Store, source: Source, view: DictionaryView, reporter: Reporter) -> None:
    """Compute and keep the effects of each feature's top contexts that are not kept yet, and of
    all features where they land."""
    if store.has_landings(view):  # the last that is kept
        return
    is_special = source.model.vocabulary.is_special
    landings: dict[int, Landing] = {}
    work = reporter.each("ablating", range(view.d_sae), view.d_sae, "feat")
    for feature in work:
        page = store.feature(view, feature)
        top = [g for g in page.record.groups if g.kind is GroupKind.TOP]
        wanted = [int(w) for g in top for w in g.examples.windows if int(w) not in page.effects]
        known: dict[int, ContextEffect] = dict(page.effects)
        if wanted:
            contexts = [torch.from_numpy(page.windows[w].tokens) for w in wanted]
            effects = ablate(source.model, source.dictionary, feature, contexts)
            computed = dict(zip(wanted, effects, strict=True))
            store.save_effects(view, feature, computed)
            known |= computed
        landings[feature] = landing(page.record.groups, page.windows, known, is_special)
    store.save_landings(view, landings)
