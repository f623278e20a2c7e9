"""A monitor in sentences, a plot and texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup, escape

from app.errors import FeaturescopeError
from app.rendering.addresses import (
    contrast_address,
    dictionary_address,
    list_address,
    monitor_address,
)
from app.rendering.charts.plots import Axis, Line, plot, swatch
from app.rendering.numbers import count, number, percent
from app.rendering.tokens import printable
from app.store.store import Store
from app.store.types.catalogue import DictionaryView
from app.store.written.audit.monitors.monitors import SENT
from app.store.written.audit.monitors.records import (
    AlarmView,
    ExampleKind,
    LevelExample,
    MonitorOrigin,
    MonitorView,
)
from app.worker.alarms.watched import monitored
from app.worker.client.readings import MonitoredText
from sae_core.audit.monitors.threshold import AlarmShare

_BEFORE, _BEHIND = 40, 20  # tokens of an example around its strongest
_ALARMS = 100  # on the page
_POOLINGS = {
    "max": "the largest of its tokens' levels",
    "mean": "the mean of its tokens' levels",
    "last": "the level of its last token",
}
_KINDS = {
    ExampleKind.HIGHEST: "Highest",
    ExampleKind.ABOVE: "Just above the threshold",
    ExampleKind.BELOW: "Just below it",
}


@dataclass(frozen=True)
class WatchedFeature:
    """A feature that a monitor reads.

    Attributes:
        feature: its number.
        weight: what a unit of its activation adds to the level.
        label: what people say it means; empty: nothing.
        address: of its page; empty: there is none.
    """

    feature: int
    weight: float
    label: str
    address: str


@dataclass(frozen=True)
class ShownText:
    """A text with its tokens marked.

    Attributes:
        level: of the text.
        alarm: whether it is above the threshold.
        html: its tokens.
        source: where it is from.
    """

    level: float
    alarm: bool
    html: Markup
    source: str = ""


@dataclass(frozen=True)
class MonitorPage:
    """A monitor with what the store knows of what it reads.

    Attributes:
        view: as it was kept.
        features: that it reads, the largest weight first.
        problem: why it cannot be used as it is; empty: it can.
        of: address of the dictionary; empty: the store has it no longer.
        origin: what it was made of, and its address; empty: of features.
        alarms: the newest.
    """

    view: MonitorView
    features: tuple[WatchedFeature, ...]
    problem: str
    of: str
    origin: tuple[str, str]
    alarms: tuple[AlarmView, ...]

    @property
    def address(self) -> str:
        """Of the page."""
        return monitor_address(self.view.name)

    @property
    def threshold(self) -> float:
        """Texts above it raise the alarm."""
        return self.view.record.details.threshold.threshold

    @property
    def watches(self) -> str:
        """What is read, and when the alarm is raised."""
        details = self.view.record.details
        what = (
            "a linear probe on the raw activation"
            if details.monitor.direction
            else f"feature {details.monitor.members[0][0]}"
            if len(details.monitor.members) == 1
            else f"{count(len(details.monitor.members))} features, weighted"
        )
        return (
            f"It reads {what}; the level of a text is {_POOLINGS[details.monitor.pooling.value]}, "
            f"special tokens left out. Above {level(self.threshold)} it raises the alarm."
        )

    @property
    def promise(self) -> str:
        """The rate that was asked for and the one that was observed."""
        details = self.view.record.details
        chosen, text = details.threshold, details.text
        silent = (
            f" On {percent(chosen.silent)} of the texts the level is exactly 0."
            if chosen.silent
            else ""
        )
        return (
            f"Asked for was a false-positive rate of at most {percent(chosen.rate)}. The threshold "
            f"was chosen on {count(chosen.chosen.texts)} texts of {printable(text.name)} and then "
            f"raised {count(chosen.stated.alarms)} alarms on {count(chosen.stated.texts)} texts of "
            f"other documents: {shared(chosen.stated)}.{silent}"
        )

    @property
    def labelled(self) -> tuple[str, ...]:
        """Precision, recall and area, in sentences."""
        details = self.view.record.details
        own = details.labelled
        if own is None:
            return ()
        positive, negative = map(printable, details.labels)
        alarms = own.precision.texts
        precise = (
            f"Of these {count(alarms)} alarms {shared(own.precision)} were right; where positives "
            "are rarer than here, fewer are."
            if alarms
            else "There were no alarms to be right or wrong."
        )
        return (
            f"Recall on {count(own.recall.texts)} texts of {positive}: {shared(own.recall)}; false "
            f"alarms on {count(own.false.texts)} of {negative}: {shared(own.false)}.",
            precise,
            f"AUROC {number(own.area)} ({number(own.low)} to {number(own.high)}), whatever the "
            "threshold.",
        )

    @property
    def chart(self) -> Markup:
        """The share of texts in each bin of levels, and where the threshold is."""
        details = self.view.record.details
        edges = details.histogram.edges
        middles = [(a + b) / 2 for a, b in pairwise(edges)]
        lines = []
        for style, (name, counts, zero) in enumerate(
            zip(self.groups, details.histogram.counts, details.histogram.zero, strict=False)
        ):
            total = max(1, sum(counts) + zero)
            lines.append(
                Line(name, style, [(x, n / total) for x, n in zip(middles, counts, strict=True)])
            )
        highest = max((y for line in lines for _, y in line.points), default=0.0) or 1.0
        lines.append(
            Line("threshold", 4, [(self.threshold, 0.0), (self.threshold, highest)], faint=True)
        )
        title = f"Levels of texts; the threshold is at {level(self.threshold)}"
        axes = (Axis("level of a text", zero=False), Axis("share of texts"))
        return Markup(plot(title, *axes, lines))  # noqa: S704 - `plot` escapes

    @property
    def key(self) -> list[tuple[Markup, str, str]]:
        """The groups of the plot: swatch, name, how many have the level 0."""
        details = self.view.record.details
        rows = [
            (
                Markup(swatch(style, mark=False)),  # noqa: S704 - of numbers alone
                name,
                f"level 0: {count(details.histogram.zero[style])} of "
                f"{count(sum(details.histogram.counts[style]) + details.histogram.zero[style])}",
            )
            for style, name in enumerate(self.groups)
        ]
        return [*rows, (Markup(swatch(4, mark=False)), "threshold", level(self.threshold))]  # noqa: S704

    @property
    def groups(self) -> tuple[str, ...]:
        """Names of the groups of texts."""
        details = self.view.record.details
        return (printable(details.text.name), *map(printable, details.labels))

    @property
    def examples(self) -> list[tuple[str, list[ShownText]]]:
        """Texts of the corpus: the highest, and those nearest to the threshold."""
        own = self.view.record.details.examples
        return [
            (title, [self._example(one) for one in own if one.kind is kind])
            for kind, title in _KINDS.items()
            if any(one.kind is kind for one in own)
        ]

    def _example(self, one: LevelExample) -> ShownText:
        html = marked(one.strings, one.levels, self.threshold, cut=True)
        return ShownText(one.level, one.level > self.threshold, html, printable(one.document))

    @property
    def unsent(self) -> str:
        """What became of webhooks that were not taken; empty: there are none."""
        if not self.view.unsent:
            return ""
        last = next((one for one in self.alarms if one.webhook not in ("", SENT)), None)
        why = f"; the last time {last.webhook}" if last else ""
        return f"{count(self.view.unsent)} alarms were not taken by the webhook{why}."

    @property
    def snippet(self) -> str:
        """How the endpoint is asked to watch."""
        return f'"featurescope": {{"monitors": ["{self.view.name}"], "gate": "refuse"}}'


def monitor_page(view: MonitorView, store: Store) -> MonitorPage:
    """A monitor with what is known of what it reads."""
    record = view.record
    known, problem = _known(store, view)
    members = record.details.monitor.members
    numbers = [feature for feature, _ in members]
    labels = store.labels.texts(known, numbers) if known and numbers else {}
    features = tuple(
        WatchedFeature(
            feature,
            weight,
            printable(labels.get(feature) or ""),
            "" if known is None else dictionary_address(known.model, known.name, feature),
        )
        for feature, weight in sorted(members, key=lambda member: -abs(member[1]))
    )
    return MonitorPage(
        view=view,
        features=features,
        problem=problem,
        of="" if known is None else dictionary_address(known.model, known.name),
        origin=_origin(view),
        alarms=tuple(store.audit.monitors.alarms(view.name, _ALARMS)),
    )


def tried(page: MonitorPage, store: Store, known: DictionaryView, read: MonitoredText) -> ShownText:
    """A text that somebody tries."""
    pieces = store.vocabulary(known.model_id).pieces
    strings = [pieces[token].decode("utf-8", "replace") for token in read.tokens.tolist()]
    html = marked(strings, read.levels[0].tolist(), page.threshold)
    return ShownText(read.level[0], read.level[0] > page.threshold, html)


def marked(
    strings: Sequence[str], levels: Sequence[float], threshold: float, cut: bool = False
) -> Markup:
    """A text whose tokens above the threshold are marked, and the strongest where none is."""
    if not strings:
        return Markup("")
    peak = max(range(len(levels)), key=lambda at: levels[at])
    begin = max(0, peak - _BEFORE) if cut else 0
    end = min(len(strings), peak + _BEHIND + 1) if cut else len(strings)
    parts = [Markup("…") if begin else Markup("")]
    for at in range(begin, end):
        shown = escape(printable(strings[at]))
        title = f"level {level(levels[at])}"
        if levels[at] > threshold:
            parts.append(Markup('<mark title="{}">{}</mark>').format(title, shown))
        elif at == peak:
            parts.append(Markup('<u title="{}">{}</u>').format(title, shown))
        else:
            parts.append(shown)
    return Markup("").join([*parts, Markup("…") if end < len(strings) else Markup("")])


def level(value: float) -> str:
    """A level in four digits."""
    return f"{value:.4g}".replace("-", "−")


def shared(share: AlarmShare) -> str:
    """A share of texts with its interval."""
    if not share.texts:
        return "none"
    return f"{percent(share.share)} (95 % interval {percent(share.low)} to {percent(share.high)})"


def _known(store: Store, view: MonitorView) -> tuple[DictionaryView | None, str]:
    try:
        return monitored(store, view), ""
    except FeaturescopeError as error:
        return None, str(error)


def _origin(view: MonitorView) -> tuple[str, str]:
    details = view.record.details
    name = details.origin_name
    if details.origin is MonitorOrigin.LIST:
        return f"list {printable(name)}", list_address(name)
    if details.origin in (MonitorOrigin.CONTRAST, MonitorOrigin.PROBE):
        return f"contrast {printable(name)}", contrast_address(name)
    return "", ""
