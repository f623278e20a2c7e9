"""Making a monitor: its threshold on a corpus, its figures on labelled texts, and what it shows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from app.errors import InvalidRequest
from app.jobs.harvested.evaluate import stored_spec
from app.jobs.source import Source, open_source
from app.settings import Settings
from app.store.store import Store
from app.store.types.catalogue import DictionaryView
from app.store.written.audit.contrasts.records import ContrastView, TextSet
from app.store.written.audit.monitors.records import (
    CalibrationText,
    ExampleKind,
    LevelExample,
    MonitorDetails,
    MonitorOrigin,
    MonitorRecord,
    MonitorView,
)
from app.worker.process.jobs.registry import default_threads
from sae_core.audit.contrast.pooling import pooled_steps
from sae_core.audit.contrast.probe import fit_probe
from sae_core.audit.monitors.histogram import level_histogram
from sae_core.audit.monitors.labelled import labelled_figures
from sae_core.audit.monitors.levels import LevelReader, TextLevels, read_levels, text_pieces
from sae_core.audit.monitors.monitor import LevelPooling, Monitor, Numbers, weighted
from sae_core.audit.monitors.threshold import choose_threshold

METHOD = 1
"""Counted up when monitors come out differently: what was asked before is then computed anew."""
DEFAULT_TEXTS = 4_000
MOST_TELLING = 16  # features of a contrast that are watched together
_AT_ONCE = 64
_SHOWN = 8  # examples of each kind


@dataclass(frozen=True)
class MonitorSource:
    """What a monitor is made of; one of these is given.

    Attributes:
        features: of the dictionary.
        list: name of a list.
        contrast: name of a contrast.
        probe: whether of the contrast a probe on the raw activation is read, not its features.
    """

    features: tuple[int, ...] = ()
    list: str = ""
    contrast: str = ""
    probe: bool = False

    def __post_init__(self) -> None:
        if bool(self.features) + bool(self.list) + bool(self.contrast) != 1:
            raise InvalidRequest("Give one of --feature, --list and --contrast.")
        if self.probe and not self.contrast:
            raise InvalidRequest("--probe goes with --contrast: its texts teach the probe.")


@dataclass(frozen=True)
class MonitorSpec:
    """What is asked for.

    Attributes:
        dictionary: whose features are watched, or at whose hook point the activation is.
        title: what the monitor is called.
        source: what it is made of.
        rate: the wanted false-positive rate.
        corpus: the text that the rate is of; None: that of the harvest.
        n_ctx: positions in a text at most; None: as it was harvested.
        texts: how many are read at most.
        pooling: over a text's tokens; None: the mean for a probe, else the largest.
        positives: texts that should raise the alarm; None: there are none.
        negatives: texts that should not.
        seed: of the draw of texts and of the halves.
    """

    dictionary: DictionaryView
    title: str
    source: MonitorSource
    rate: float
    corpus: str | None = None
    n_ctx: int | None = None
    texts: int = DEFAULT_TEXTS
    pooling: LevelPooling | None = None
    positives: TextSet | None = None
    negatives: TextSet | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if (self.positives is None) != (self.negatives is None):
            raise InvalidRequest("Precision and recall need both --positives and --negatives.")


def make_monitor(settings: Settings, store: Store, spec: MonitorSpec) -> MonitorView:
    """Read the corpus with the model, with a bar, and choose; asked before, it is there at once.

    Raises:
        NotFound: there is no such list or contrast.
        InvalidRequest: it has no feature of this dictionary, or the dictionary has no model.
        MonitorError: the text is too short for the rate, or labelled texts are too few.
    """
    view = spec.dictionary
    torch.set_num_threads(settings.worker_threads or default_threads())
    opened = open_source(
        settings, stored_spec(settings, view.model, view.name, spec.corpus, spec.n_ctx)
    )
    monitor, origin = _monitor(store, spec, opened)
    question = _question(spec, monitor, opened)
    if (there := store.audit.monitors.asked(question)) is not None:
        return there
    reader = LevelReader(opened.model, opened.dictionary, monitor)
    numbers = spread_windows(opened, spec.texts, spec.seed)
    documents = opened.windows.document_of(numbers)
    read = list(_corpus(opened, reader, numbers, spec.title))
    if silent := [at for at, one in enumerate(read) if not one.is_text.any()]:
        read = [one for one in read if one.is_text.any()]  # special tokens alone are no text
        documents = np.delete(documents, silent)
    levels = np.array([one.level[0] for one in read])
    chosen = choose_threshold(levels, documents, spec.rate, spec.seed)
    groups, labelled = [levels], None
    if spec.positives is not None and spec.negatives is not None:
        groups += [_set_levels(opened, reader, own) for own in (spec.positives, spec.negatives)]
        labelled = labelled_figures(groups[1], groups[2], chosen.threshold)
    details = MonitorDetails(
        origin=origin,
        origin_name=spec.source.list or spec.source.contrast,
        model_checksum=view.model_checksum,
        monitor=monitor,
        threshold=chosen,
        text=CalibrationText(
            name=opened.corpus.name,
            source=opened.corpus.source,
            fingerprint=opened.corpus.fingerprint,
            documents=len(np.unique(documents)),
            n_ctx=opened.windows.n_ctx,
            tokens=int(sum(one.is_text.sum() for one in read)),
        ),
        histogram=level_histogram(groups),
        labelled=labelled,
        labels=() if labelled is None else _labels(spec),
        examples=tuple(_examples(opened, read, levels, documents, chosen.threshold)),
    )
    record = MonitorRecord(view.model, view.name, view.checksum, question, spec.title, details)
    return store.audit.monitors.save(record)


def spread_windows(opened: Source, most: int, seed: int) -> NDArray[np.int64]:
    """Windows that are texts: one of each document before a second of any, in random order.

    Args:
        opened: the corpus.
        most: how many at most.
        seed: of the order.
    """
    every = opened.windows.select(None, seed)
    documents = opened.windows.document_of(every)
    order = np.argsort(documents, kind="stable")
    begins = np.searchsorted(documents[order], documents[order], side="left")
    turn = np.empty(len(every), dtype=np.int64)
    turn[order] = np.arange(len(every)) - begins
    return every[np.argsort(turn, kind="stable")][:most]


def _monitor(store: Store, spec: MonitorSpec, opened: Source) -> tuple[Monitor, MonitorOrigin]:
    """What is read, and of what kind it is."""
    source, view = spec.source, spec.dictionary
    if source.probe:
        contrast = _contrast(store, spec)
        monitor, origin = _probe(contrast, opened, spec), MonitorOrigin.PROBE
        return _pooled(monitor, spec.pooling or LevelPooling.MEAN), origin
    if source.contrast:
        contrast = _contrast(store, spec)
        figures = contrast.record.contrast
        telling = [row for row in figures.features if row.q <= figures.wanted_q][:MOST_TELLING]
        if not telling:
            raise InvalidRequest(
                f"No feature of the contrast {source.contrast!r:.80} tells its sets apart: there "
                "is nothing to watch. --probe reads the raw activation instead."
            )
        shares = {row.feature: row.difference for row in telling}
        monitor = weighted(_maxima(store, view, list(shares)), shares)
        pooling = spec.pooling or LevelPooling(telling[0].pooling)
        return _pooled(monitor, pooling), MonitorOrigin.CONTRAST
    features, origin = list(dict.fromkeys(source.features)), MonitorOrigin.FEATURES
    if source.list:
        _, items = store.lists.contents(source.list)
        features, origin = (
            [
                item.index
                for item in items
                if item.there and (item.model, item.dictionary) == (view.model, view.name)
            ],
            MonitorOrigin.LIST,
        )
        if not features:
            raise InvalidRequest(
                f"The list {source.list!r:.80} has no feature of {view.title}: a monitor reads one "
                "dictionary."
            )
    maxima = _maxima(store, view, features)
    monitor = Monitor(((features[0], 1.0),)) if len(features) == 1 else weighted(maxima)
    return _pooled(monitor, spec.pooling or LevelPooling.MAX), origin


def _contrast(store: Store, spec: MonitorSpec) -> ContrastView:
    view, contrast = spec.dictionary, store.audit.contrasts.view(spec.source.contrast)
    if contrast.record.checksum != view.checksum:
        raise InvalidRequest(
            f"The contrast {contrast.name!r:.80} was made with other weights than those of "
            f"{view.title}: its numbers name other features."
        )
    return contrast


def _maxima(store: Store, view: DictionaryView, features: Sequence[int]) -> dict[int, float]:
    """The largest activation of each feature in the harvest."""
    rows = store.rows(view, features)
    for feature in features:
        if feature not in rows:
            raise InvalidRequest(
                f"There is no feature {feature}: {view.title} has {view.d_sae:,} features, 0 to "
                f"{view.d_sae - 1}."
            )
    return {feature: rows[feature].maximum for feature in features}


def _probe(contrast: ContrastView, opened: Source, spec: MonitorSpec) -> Monitor:
    """A probe that all texts of a contrast have taught."""
    record = contrast.record
    steps = pooled_steps(opened.model, opened.dictionary, record.first.texts, record.second.texts)
    total = len(record.first.texts) + len(record.second.texts)
    with tqdm(desc="teaching the probe", total=total, unit="texts") as bar:
        while True:
            try:
                next(steps)
            except StopIteration as end:
                texts = end.value
                break
            bar.update()
    probe = fit_probe(texts.raw, texts.first, spec.seed)
    return Monitor(direction=tuple(probe.direction.tolist()), offset=probe.offset)


def _pooled(monitor: Monitor, pooling: LevelPooling) -> Monitor:
    return Monitor(monitor.members, monitor.direction, monitor.offset, pooling)


def _question(spec: MonitorSpec, monitor: Monitor, opened: Source) -> str:
    """SHA-256 of all that decides the monitor."""
    view = spec.dictionary
    asked = {
        "method": METHOD,
        "title": spec.title,
        "model": [view.model, view.model_checksum, view.model_dtype],
        "dictionary": [view.name, view.hook_point, view.checksum],
        "monitor": monitor.as_json(),
        "text": [opened.corpus.fingerprint, opened.windows.n_ctx, spec.texts],
        "labelled": [
            None if own is None else [own.name, *own.texts]
            for own in (spec.positives, spec.negatives)
        ],
        "rate": spec.rate,
        "seed": spec.seed,
    }
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


def _corpus(
    opened: Source, reader: LevelReader, numbers: NDArray[np.int64], title: str
) -> Iterator[TextLevels]:
    """The corpus's texts, read a batch at a time."""
    with tqdm(desc=title, total=len(numbers), unit="texts") as bar:
        for begin in range(0, len(numbers), _AT_ONCE):
            some = numbers[begin : begin + _AT_ONCE]
            tokens, is_text = opened.windows.gather(some)
            lengths = tokens.shape[1] - is_text[:, ::-1].argmax(axis=1)
            texts = [[row[:n].tolist()] for row, n in zip(tokens, lengths, strict=True)]
            yield from read_levels(opened.model, [reader], texts)
            bar.update(len(some))


def _set_levels(opened: Source, reader: LevelReader, own: TextSet) -> Numbers:
    pieces = [text_pieces(opened.model, text) for text in own.texts]
    levels = list[float]()
    with tqdm(desc=own.name, total=len(pieces), unit="texts") as bar:
        for begin in range(0, len(pieces), _AT_ONCE):
            some = pieces[begin : begin + _AT_ONCE]
            levels += [one.level[0] for one in read_levels(opened.model, [reader], some)]
            bar.update(len(some))
    made = np.array(levels)
    if np.isnan(made).any():
        number = int(np.isnan(made).argmax()) + 1
        raise InvalidRequest(f"Text {number} of {own.name!r:.80} has no token that is text.")
    return made


def _labels(spec: MonitorSpec) -> tuple[str, ...]:
    assert spec.positives is not None
    assert spec.negatives is not None
    return (spec.positives.name, spec.negatives.name)


def _examples(
    opened: Source,
    read: Sequence[TextLevels],
    levels: Numbers,
    documents: NDArray[np.int64],
    threshold: float,
) -> Iterator[LevelExample]:
    """The highest texts, and those nearest to the threshold on either side."""
    order = np.argsort(-levels, kind="stable")
    above = order[levels[order] > threshold]
    below = order[levels[order] <= threshold]
    for kind, chosen in (
        (ExampleKind.HIGHEST, order[:_SHOWN]),
        (ExampleKind.ABOVE, above[::-1][:_SHOWN]),
        (ExampleKind.BELOW, below[:_SHOWN]),
    ):
        for at in chosen.tolist():
            one = read[at]
            pieces = opened.model.vocabulary.pieces
            yield LevelExample(
                kind=kind,
                level=float(levels[at]),
                strings=tuple(
                    pieces[token].decode("utf-8", "replace")
                    for token in one.tokens[one.is_text].tolist()
                ),
                levels=tuple(float(f"{level:.6g}") for level in one.levels[0][one.is_text]),
                document=opened.corpus.names[documents[at]],
            )
