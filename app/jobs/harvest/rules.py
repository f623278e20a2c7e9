"""Rules for all features of a harvest, while its log is still there."""

from __future__ import annotations

from collections.abc import Iterator

from app.jobs.progress import Reporter
from app.jobs.source import Source
from app.rendering.tokens import visible
from sae_core.harvest.firing_log import FiringLog
from sae_core.harvest.harvest import HarvestPlan
from sae_core.rules.harvested import harvest_labeller
from sae_core.rules.record import RuleRecord

RULES = 1
"""Noted with a harvest: another number where rules come out otherwise from the same firings."""


def learnt_rules(
    source: Source, plan: HarvestPlan, log: FiringLog, reporter: Reporter
) -> Iterator[RuleRecord]:
    """The rule of each feature, by index, after those of shuffled firings."""
    vocabulary = source.model.vocabulary
    labeller = harvest_labeller(
        plan.windows, log, vocabulary, lambda token: visible(vocabulary.pieces[token]), plan.seed
    )
    pool = list(reporter.each("shuffling", labeller.shuffled_scores(), len(labeller.pool), "feat"))
    d_sae = source.dictionary.d_sae
    yield from reporter.each("labelling", labeller.records(pool), d_sae, "feat")
