"""Following a dictionary's features through the training of its model."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from app.errors import InvalidRequest
from app.jobs.comparison.parts import BATCH_WINDOWS, ComparedPart, read_text
from app.jobs.harvested.evaluate import stored_spec
from app.jobs.moments.checkpoints import (
    Checkpoint,
    checkpoints,
    method_of,
    opened,
    own_dictionary,
)
from app.jobs.moments.labels import LabelScores
from app.jobs.source import open_dictionary, open_model
from app.settings import Settings
from app.store.names import check_name
from app.store.store import Store, open_store
from app.store.tables.catalogue import canonical
from app.store.types.catalogue import DictionaryView
from app.store.types.moments import (
    TOP,
    Moment,
    MomentArrays,
    MomentsRecord,
    MomentsSettings,
)
from sae_core.evaluation.comparison.appearance import moment_matches, paired
from sae_core.evaluation.comparison.firings import TokenFirings
from sae_core.language_model.predictions import log_probabilities_of
from sae_core.rules.predicate import Predicate

METHOD = 1
"""Counted up when it comes out differently: what was asked before is then computed anew."""
FOLDER = "over-training"  # below FEATURESCOPE_HOME


@dataclass(frozen=True)
class FollowSpec:
    """What is followed, as the command names it.

    Attributes:
        model: of the last moment, as the pages name it.
        dictionary: of it.
        folders: the earlier checkpoints.
        name: part of its address; None: the dictionary's.
        trained: tokens that each moment's dictionary is trained on.
        read: tokens that features are matched on.
        seed: of the trainings and of the order of the text.
    """

    model: str
    dictionary: str
    folders: tuple[Path, ...]
    name: str | None = None
    trained: int = 500_000
    read: int = 65_536
    seed: int = 0

    @property
    def title(self) -> str:
        """Its name."""
        return self.name or f"{self.model} {self.dictionary}"


def follow(settings: Settings, spec: FollowSpec) -> MomentsRecord:
    """Train a dictionary for each moment, match, and keep what comes of it.

    Interrupted, the same command goes on: trainings that are done stay, and one that is under way
    goes on from where it was.

    Raises:
        FeaturescopeError: something is missing or does not fit; the sentence says what.
    """
    check_name(spec.title, "with --name")
    source = stored_spec(settings, spec.model, spec.dictionary)
    with open_store(settings) as store:
        view = store.dictionary(spec.model, spec.dictionary)
    home = settings.home / FOLDER / spec.title
    last = open_model(settings, source.model, source.dtype)
    moments = checkpoints(spec.folders, last.path, home)
    dictionary, _ = open_dictionary(last, source, settings.device)
    others = [
        own_dictionary(
            *(settings, source, view, moment, home / moment.name, spec.trained),
            spec.seed + (moment is moments[-1]),
        )
        for moment in moments
    ]
    whole = opened(settings, source, view, moments[-1], dictionary)
    order = _order(whole, spec)
    label_scores = _labels(settings, view, whole, order)
    result = _Followed(whole, order, read_text([whole], order, lambda _: None).firings[0])
    with tqdm(total=len(moments), desc="matching", unit="checkpoint") as bar:
        for moment, other in zip(moments, others, strict=True):
            own = opened(settings, source, view, moment, other)
            applied = opened(settings, source, view, moment, dictionary)
            _same_tokens(whole, own)
            result.see(moment, own, applied, label_scores)
            bar.update()
    record = result.record(spec, view)
    with open_store(settings) as store:
        store.comparisons.moments.save(record)
    return record


class _Followed:
    """What is known of the moments so far."""

    def __init__(self, whole: ComparedPart, order: NDArray[np.int64], last: TokenFirings) -> None:
        self.whole, self.order, self.last = whole, order, last
        tokens, mask = whole.windows.gather(order)
        text = mask & ~whole.model.vocabulary.is_special[tokens]
        counts = text.sum(axis=1)
        self.tokens = tokens[text].astype(np.int32)
        self.begins = (np.cumsum(counts) - counts).astype(np.int32)
        self.documents = np.repeat(whole.windows.document_of(order), counts)
        self.moments: list[Moment] = []
        self.columns: dict[str, list[NDArray[Any]]] = {
            name: [] for name in ("values", "partners", "same", "f1", "rows", "strengths")
        }

    def see(
        self, moment: Checkpoint, own: ComparedPart, applied: ComparedPart, labels: LabelScores
    ) -> None:
        """Read the text with a moment's model, and match."""
        text = read_text([own, applied], self.order, lambda _: None)
        matches = moment_matches(self.last, text.firings[0], self.documents)
        every = np.arange(self.last.d_sae)
        rows, strengths = strongest(text.firings[0], matches.partners)
        added = {
            "values": matches.values,
            "partners": matches.partners,
            "same": paired(self.last, text.firings[1], every),
            "f1": labels.scores(text.firings[0], matches.partners),
            "rows": rows,
            "strengths": strengths,
        }
        for name, values in added.items():
            self.columns[name].append(np.asarray(values))
        loss = mean_loss(own, self.order)
        checksum = own.model.checksum
        self.moments.append(Moment(moment.name, moment.step, loss, matches.null, checksum))

    def record(self, spec: FollowSpec, view: DictionaryView) -> MomentsRecord:
        rows, strengths = strongest(self.last, np.arange(self.last.d_sae))
        columns = {name: np.stack(values) for name, values in self.columns.items()}
        columns["rows"] = np.concatenate([columns["rows"], rows[None]])
        columns["strengths"] = np.concatenate([columns["strengths"], strengths[None]])
        kinds: dict[str, Any] = dict.fromkeys(columns, np.float32)
        kinds |= {"partners": np.int32, "rows": np.int32}
        arrays = MomentArrays(
            **{name: values.astype(kinds[name]) for name, values in columns.items()},
            tokens=self.tokens,
            begins=self.begins,
        )
        corpus = self.whole.windows.corpus
        settings = MomentsSettings(
            0 if view.is_neurons else spec.trained,
            len(self.tokens),
            spec.seed,
            corpus.name,
            method="" if view.is_neurons else method_of(view),
            own="" if view.is_neurons else view.architecture,
        )
        facts = {
            "method": METHOD,
            "dictionary": [view.checksum, view.hook_point],
            "moments": [asdict(moment) for moment in self.moments],
            "settings": asdict(settings),
            "text": corpus.fingerprint,
            "torch": torch.__version__,
        }
        return MomentsRecord(
            name=spec.title,
            identity=hashlib.sha256(canonical(facts).encode()).hexdigest(),
            model=view.model,
            dictionary=view.name,
            checksum=view.checksum or "",
            d_sae=self.last.d_sae,
            settings=settings,
            moments=tuple(self.moments),
            arrays=arrays,
        )


def strongest(
    firings: TokenFirings, features: NDArray[np.int64]
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The tokens on which features are strongest, and how strong: [n, TOP] each; -1 and 0: none."""
    rows = np.full((len(features), TOP), -1, dtype=np.int32)
    strengths = np.zeros((len(features), TOP), dtype=np.float32)
    by_feature = firings.by_feature
    for place, feature in enumerate(features.tolist()):
        if feature < 0:
            continue
        here = slice(by_feature.indptr[feature], by_feature.indptr[feature + 1])
        best = np.argsort(-by_feature.data[here], kind="stable")[:TOP]
        rows[place, : len(best)] = by_feature.indices[here][best]
        strengths[place, : len(best)] = by_feature.data[here][best]
    return rows, strengths


@torch.inference_mode()
def mean_loss(part: ComparedPart, order: NDArray[np.int64]) -> float:
    """Of the tokens of text in some windows, nats; those that nothing stands before left out."""
    model, total, count = part.model, 0.0, 0
    for begin in range(0, len(order), BATCH_WINDOWS):
        tokens, mask = part.windows.gather(order[begin : begin + BATCH_WINDOWS])
        text = (mask & ~model.vocabulary.is_special[tokens])[:, 1:]
        ids = torch.from_numpy(tokens).to(model.device)
        hidden = model.final_hidden(ids)[:, :-1].flatten(0, 1)
        wanted = torch.from_numpy(text).flatten().to(model.device)
        log_p = log_probabilities_of(model, hidden[wanted], ids[:, 1:].flatten()[wanted])
        total -= sum(float(piece.double().sum()) for piece in log_p)
        count += int(text.sum())
    return total / max(1, count)


def _order(whole: ComparedPart, spec: FollowSpec) -> NDArray[np.int64]:
    """Windows of held-out documents, or of all where none is held out, as many as are read."""
    windows = whole.windows
    numbers = windows.of_documents(held_out=True)
    if not len(numbers):
        numbers = np.arange(len(windows), dtype=np.int64)
    numbers = np.random.default_rng(spec.seed).permutation(numbers)
    reached = np.cumsum(windows.lengths(numbers))
    return numbers[: int(np.searchsorted(reached, spec.read)) + 1]


def _labels(
    settings: Settings, view: DictionaryView, whole: ComparedPart, order: NDArray[np.int64]
) -> LabelScores:
    with open_store(settings) as store:
        predicates = _predicates(store, view)
    return LabelScores(whole.windows, order, whole.model.vocabulary, predicates)


def _predicates(store: Store, view: DictionaryView) -> list[Predicate | None]:
    rules = [store.rules.of_feature(view, feature) for feature in range(view.d_sae)]
    return [rule.predicate if rule is not None and rule.above else None for rule in rules]


def _same_tokens(whole: ComparedPart, own: ComparedPart) -> None:
    if whole.model.vocabulary.pieces != own.model.vocabulary.pieces:
        raise InvalidRequest(
            f"{own.spec.model} reads text as other tokens than the last moment: checkpoints of one "
            "training have one tokenizer."
        )
