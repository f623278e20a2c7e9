"""A monitor: what it reads, its threshold with the rates observed, and texts with their levels."""

from __future__ import annotations

import math
import shlex
from typing import Any

from app.errors import InvalidRequest
from app.exchange.report.bench import RecomputingBench
from app.exchange.report.comparison import NearFigure, NotHere
from app.exchange.report.findings.kind import FindingKind, GatheredFinding, ReadFinding
from app.exchange.report.findings.named import plain_text
from app.exchange.report.schema import DictionaryFacts, RawFinding, ReportPart
from app.rendering.addresses import monitor_address
from app.rendering.numbers import percent
from app.rendering.tokens import printable
from app.store.store import Store
from sae_core.audit.monitors.levels import LevelReader, read_levels, text_pieces
from sae_core.audit.monitors.monitor import LevelPooling, Monitor
from sae_core.audit.monitors.threshold import AlarmShare, alarm_share

_NEAR = 2e-3
_WHY = "float32 sums are rounded in another order on other hardware"


class MonitorAsked(ReportPart):
    """What is read, and on which texts; parts of a monitor as in `sae_core/audit/monitors`."""

    dictionary: str
    members: tuple[tuple[int, float], ...]
    direction: tuple[float, ...]
    offset: float
    pooling: str
    texts: tuple[str, ...]

    @property
    def monitor(self) -> Monitor:
        """What is watched.

        Raises:
            MonitorError, ValueError: there is no such monitor.
        """
        return Monitor(self.members, self.direction, self.offset, LevelPooling(self.pooling))


class MonitorFound(ReportPart):
    """The level of each text."""

    levels: tuple[float, ...]


class StatedShare(ReportPart):
    """Texts, alarms among them, and the exact 95 % interval of their share."""

    texts: int
    alarms: int
    low: float
    high: float


class MonitorStated(ReportPart):
    """What the monitor is called, the wanted rate of false alarms, its threshold, and the rates of
    both halves of the text that it was chosen on: they need all of that text, and are not computed
    again."""

    name: str
    title: str
    rate: float
    threshold: float
    chosen: StatedShare
    stated: StatedShare
    text: str
    fingerprint: str


Finding = ReadFinding[MonitorAsked, MonitorFound, MonitorStated]


class MonitorKind(FindingKind[MonitorAsked, MonitorFound, MonitorStated]):
    """A monitor with its rates."""

    name = "monitor"
    asked = MonitorAsked
    found = MonitorFound
    stated = MonitorStated

    def gather(
        self, store: Store, words: str
    ) -> GatheredFinding[MonitorAsked, MonitorFound, MonitorStated]:
        """A monitor by its name."""
        view = store.audit.monitors.view(words)
        record, details = view.record, view.record.details
        dictionary = store.dictionary(record.model, record.dictionary)
        if (dictionary.checksum, dictionary.model_checksum) != (
            record.checksum,
            details.model_checksum,
        ):
            raise InvalidRequest(
                f"The monitor {view.name} is of other weights than {dictionary.title} has by now: "
                "make it anew, or leave it out."
            )
        threshold = details.threshold
        examples = {"".join(map(plain_text, one.strings)): one.level for one in details.examples}
        return GatheredFinding(
            MonitorAsked(
                dictionary=dictionary.title,
                members=details.monitor.members,
                direction=details.monitor.direction,
                offset=details.monitor.offset,
                pooling=details.monitor.pooling.value,
                texts=tuple(examples),
            ),
            MonitorFound(levels=tuple(examples.values())),
            MonitorStated(
                name=view.name,
                title=plain_text(record.title),
                rate=threshold.rate,
                threshold=threshold.threshold,
                chosen=_stated(threshold.chosen),
                stated=_stated(threshold.stated),
                text=plain_text(details.text.name),
                fingerprint=details.text.fingerprint,
            ),
            (dictionary,),
        )

    def titles(self, asked: MonitorAsked) -> tuple[str, ...]:
        """Its dictionary."""
        return (asked.dictionary,)

    def read(self, raw: RawFinding, facts: dict[str, DictionaryFacts]) -> Finding:
        """Besides: each text has its level, and intervals are those of their counts."""
        finding = super().read(raw, facts)
        asked, stated = finding.asked, finding.stated
        LevelPooling(asked.pooling)
        if len(asked.texts) != len(finding.found.levels):
            raise ValueError("texts of a monitor lack levels")
        for share in (stated.chosen, stated.stated):
            if not 0 <= share.alarms <= share.texts:
                raise ValueError("more alarms than texts")
            if not _same(share, _stated(alarm_share(share.alarms, share.texts))):
                raise ValueError("an interval is not that of its counts")
        return finding

    def claim(self, finding: Finding) -> str:
        """The rate that was asked for and the one observed."""
        stated = finding.stated
        own = stated.stated
        return (
            f"The monitor “{printable(stated.title)}”, set to a false-positive rate of "
            f"{percent(stated.rate)} on half of {printable(stated.text)}, raises an alarm on "
            f"{own.alarms:,} of the {own.texts:,} texts of the other half (95 % interval "
            f"{percent(own.low)} to {percent(own.high)})."
        )

    def command(self, finding: Finding) -> str:
        """What watches with it; what made it stands on its page."""
        return printable(f"featurescope watch {shlex.quote(finding.stated.name)} < LINES.jsonl")

    def address(self, finding: Finding) -> str:
        """Of its page."""
        return monitor_address(finding.stated.name)

    def recompute(self, finding: Finding, bench: RecomputingBench) -> dict[str, Any]:
        """The levels of its texts."""
        asked = finding.asked
        model, dictionary = bench.loaded(finding.facts[0])
        readers = [LevelReader(model, dictionary, asked.monitor)]
        rows = [text_pieces(model, text) for text in asked.texts]
        levels = [one.level[0] for one in read_levels(model, readers, rows)]
        return {
            "levels": [
                NotHere("the text has no token here")
                if math.isnan(level)
                else NearFigure(level, _NEAR * abs(level) + 1e-6, _WHY)
                for level in levels
            ]
        }


def _stated(share: AlarmShare) -> StatedShare:
    return StatedShare(texts=share.texts, alarms=share.alarms, low=share.low, high=share.high)


def _same(first: StatedShare, second: StatedShare) -> bool:
    pairs = ((first.low, second.low), (first.high, second.high))
    return all(math.isclose(one, other, rel_tol=1e-6, abs_tol=1e-9) for one, other in pairs)
