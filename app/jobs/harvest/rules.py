"""Rules for all features of a harvest, while its log is still there."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from app.jobs.progress import Reporter
from app.jobs.source import Source
from app.rendering.tokens import visible
from sae_core.harvest.firing_log import FiringLog
from sae_core.harvest.harvest import HarvestPlan
from sae_core.rules.harvested import HarvestedText, harvest_labeller, looked_at
from sae_core.rules.record import RuleRecord

RULES = 2
"""Noted with a harvest: another number where rules come out otherwise from the same firings."""

_last_text: dict[str, HarvestedText] = {}
"""The text of the last harvest: the next one is often of another dictionary on the same text."""


def learnt_rules(
    source: Source, plan: HarvestPlan, log: FiringLog, reporter: Reporter
) -> Iterator[RuleRecord]:
    """The rule of each feature, by index, after those of shuffled firings."""
    pieces = source.model.vocabulary.pieces
    labeller = harvest_labeller(
        _text(source, plan, log), log, lambda token: visible(pieces[token]), plan.seed
    )
    pool = list(reporter.each("shuffling", labeller.shuffled_scores(), len(labeller.pool), "feat"))
    d_sae = source.dictionary.d_sae
    yield from reporter.each("labelling", labeller.records(pool), d_sae, "feat")


def _text(source: Source, plan: HarvestPlan, log: FiringLog) -> HarvestedText:
    """The harvested text, read anew where it is not that of the harvest before."""
    windows, vocabulary = plan.windows, source.model.vocabulary
    numbers = looked_at(windows, log)
    facts = [
        windows.corpus.fingerprint,
        f"{windows.n_ctx} {windows.bos} {len(vocabulary.pieces)} {plan.seed}",
        hashlib.sha256(numbers.tobytes()).hexdigest(),
    ]
    key = " ".join(facts)
    if key not in _last_text:
        _last_text.clear()
        _last_text[key] = HarvestedText(windows, numbers, vocabulary, plan.seed)
    return _last_text[key]
