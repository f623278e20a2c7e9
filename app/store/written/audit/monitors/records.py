"""Monitors and alarms as they go into the store and come out of it: frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from sae_core.audit.monitors.histogram import LevelHistogram, histogram_of
from sae_core.audit.monitors.labelled import LabelledFigures, figures_of
from sae_core.audit.monitors.monitor import Monitor, monitor_of
from sae_core.audit.monitors.threshold import ChosenThreshold, threshold_of


class MonitorOrigin(StrEnum):
    """What a monitor was made of."""

    FEATURES = "features"
    LIST = "list"
    CONTRAST = "contrast"
    PROBE = "probe"


class ExampleKind(StrEnum):
    """Where an example stands."""

    HIGHEST = "highest"
    ABOVE = "above"
    BELOW = "below"


@dataclass(frozen=True)
class LevelExample:
    """A text of the corpus that shows what a monitor does.

    Attributes:
        kind: `highest`, or the nearest `above` or `below` the threshold.
        level: of the text.
        strings: its tokens, special ones left out.
        levels: theirs.
        document: where the text is from.
    """

    kind: ExampleKind
    level: float
    strings: tuple[str, ...]
    levels: tuple[float, ...]
    document: str


@dataclass(frozen=True)
class CalibrationText:
    """The texts on which a threshold was chosen and stated.

    Attributes:
        name: of the corpus.
        source: in words.
        fingerprint: SHA-256 over its documents.
        documents: how many of them have a text among these.
        n_ctx: positions in a text at most.
        tokens: in all texts, special ones left out.
    """

    name: str
    source: str
    fingerprint: str
    documents: int
    n_ctx: int
    tokens: int


@dataclass(frozen=True)
class MonitorDetails:
    """All of a monitor but its names.

    Attributes:
        origin: what it was made of.
        origin_name: of the list or contrast; empty: of neither.
        model_checksum: of the model's weights.
        monitor: what is read.
        threshold: with its rates.
        text: that these are of.
        histogram: of the corpus's levels, then those of positives and negatives.
        labelled: on positives and negatives; None: there were none.
        labels: what positives and negatives are called; empty: there were none.
        examples: of the corpus.
    """

    origin: MonitorOrigin
    origin_name: str
    model_checksum: str
    monitor: Monitor
    threshold: ChosenThreshold
    text: CalibrationText
    histogram: LevelHistogram
    labelled: LabelledFigures | None
    labels: tuple[str, ...]
    examples: tuple[LevelExample, ...]

    def as_json(self) -> dict[str, Any]:
        """Lists, texts and numbers."""
        return {
            "origin": self.origin.value,
            "origin_name": self.origin_name,
            "model_checksum": self.model_checksum,
            "monitor": self.monitor.as_json(),
            "threshold": self.threshold.as_json(),
            "text": asdict(self.text),
            "histogram": self.histogram.as_json(),
            "labelled": None if self.labelled is None else self.labelled.as_json(),
            "labels": list(self.labels),
            "examples": [asdict(one) | {"kind": one.kind.value} for one in self.examples],
        }


def details_of(value: Mapping[str, Any]) -> MonitorDetails:
    """What `as_json` made, checked.

    Raises:
        MonitorError, KeyError, TypeError, ValueError: it is something else.
    """
    text = value["text"]
    return MonitorDetails(
        origin=MonitorOrigin(value["origin"]),
        origin_name=str(value["origin_name"]),
        model_checksum=str(value["model_checksum"]),
        monitor=monitor_of(value["monitor"]),
        threshold=threshold_of(value["threshold"]),
        text=CalibrationText(
            name=str(text["name"]),
            source=str(text["source"]),
            fingerprint=str(text["fingerprint"]),
            documents=int(text["documents"]),
            n_ctx=int(text["n_ctx"]),
            tokens=int(text["tokens"]),
        ),
        histogram=histogram_of(value["histogram"]),
        labelled=None if value["labelled"] is None else figures_of(value["labelled"]),
        labels=tuple(map(str, value["labels"])),
        examples=tuple(
            LevelExample(
                kind=ExampleKind(one["kind"]),
                level=float(one["level"]),
                strings=tuple(map(str, one["strings"])),
                levels=tuple(map(float, one["levels"])),
                document=str(one["document"]),
            )
            for one in value["examples"]
        ),
    )


@dataclass(frozen=True)
class MonitorRecord:
    """A monitor to be kept.

    Attributes:
        model: name of its model.
        dictionary: name of the dictionary that it reads with.
        checksum: of the dictionary's weights.
        question: SHA-256 of all that decided it.
        title: any text of one line.
        details: all else.
    """

    model: str
    dictionary: str
    checksum: str
    question: str
    title: str
    details: MonitorDetails


@dataclass(frozen=True)
class MonitorView:
    """A monitor of the store.

    Attributes:
        name: part of its address.
        record: what was kept.
        raised: its alarms so far.
        unsent: webhooks among them that were not taken.
        created: seconds since 1970.
    """

    name: str
    record: MonitorRecord
    raised: int
    unsent: int
    created: float


@dataclass(frozen=True)
class MonitorLine:
    """A monitor without its figures.

    Attributes:
        name: part of its address.
        title: as in `MonitorRecord`; so are model and dictionary.
        raised: its alarms so far.
        created: seconds since 1970.
    """

    name: str
    title: str
    model: str
    dictionary: str
    raised: int
    created: float


@dataclass(frozen=True)
class AlarmRecord:
    """An alarm to be kept.

    Attributes:
        monitor: name of the monitor.
        source: where it was raised: `chat`, `endpoint` or `watch`.
        turn: `answer`, the role and number of a turn, or the number of a line.
        level: that is above the threshold.
        action: what the gate did.
        excerpt: the text before the token that raised it, the token, and the text behind.
    """

    monitor: str
    source: str
    turn: str
    level: float
    action: str
    excerpt: tuple[str, str, str]


@dataclass(frozen=True)
class AlarmView:
    """An alarm of the store.

    Attributes:
        id: random.
        record: what was kept.
        webhook: `sent`, or why it was not; empty: there is no webhook.
        created: seconds since 1970.
    """

    id: str
    record: AlarmRecord
    webhook: str
    created: float
