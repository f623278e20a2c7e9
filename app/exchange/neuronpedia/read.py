"""A Neuronpedia or SAEDashboard export becomes a dictionary to browse, without any model."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from app.errors import InvalidRequest, NotFound
from app.exchange.neuronpedia.explanations import read_explanations
from app.exchange.neuronpedia.fields import (
    MOST_FEATURES,
    ForeignContext,
    ForeignFeature,
    read_context,
    read_feature,
    with_contexts,
)
from app.exchange.neuronpedia.files import ExportFiles, read_lines, read_object
from app.exchange.neuronpedia.records import TokenCount, missing, record
from app.exchange.neuronpedia.texts import ForeignText
from app.store.store import Store
from app.store.types.annotations import NewLabel
from app.store.types.catalogue import (
    WRITES_AT,
    CorpusRecord,
    DictionaryRecord,
    DictionaryView,
    HarvestRecord,
    ModelRecord,
)
from sae_core.harvest.records import FeatureRecord

NOT_STATED = "not stated"
MOST_MISSING = 131_072  # features that a small export may leave out: what is not there costs room
MISSING_PER_FEATURE = 1000
_UNFIT = re.compile(r"[^\w .+@=,-]+")


@dataclass(frozen=True)
class Names:
    """What an import is called; None: what the source calls it."""

    model: str | None = None
    dictionary: str | None = None
    hook_point: str | None = None


@dataclass
class _Source:
    """An export while it is read.

    Attributes:
        files: of the export.
        text: its tokens and windows.
        facts: what its batches or lines say of the whole.
        tokens: how many it was run on.
        indices: of the features there are.
        silent: contexts left out because the feature does not fire in them.
        dataset: where its contexts come from.
        hook_point: where its dictionary reads.
        output_hook_point: where it writes; empty: there, or not stated.
        d_in: width there; 0: not stated.
    """

    files: ExportFiles
    text: ForeignText
    facts: dict[str, Any] = field(default_factory=dict)
    tokens: TokenCount = field(default_factory=TokenCount)
    indices: set[int] = field(default_factory=set)
    silent: int = 0
    dataset: str = ""
    hook_point: str = ""
    output_hook_point: str = ""
    d_in: int = 0
    _contexts: dict[int, list[ForeignContext]] | None = None

    def features(self) -> Iterator[ForeignFeature]:
        """All of them, from the files; each time the same."""
        for path in self.files.batches:
            batch = read_object(path)
            self._learn(batch, ("model_id", "layer", "sae_set", "sae_id_suffix"))
            listed = batch.get("features")
            if not isinstance(listed, list):
                raise InvalidRequest(f"{path} has no list of features: is it a batch?")
            for raw in listed:
                yield read_feature(raw, self.text)
        if not self.files.features:
            return
        if self._contexts is None:
            self._contexts = {}
            for path in self.files.activations:
                for line in read_lines(path):
                    index, context = read_context(line, self.text)
                    self._contexts.setdefault(index, []).append(context)
        for path in self.files.features:
            for line in read_lines(path):
                self._learn(line, ("modelId", "layer"))
                feature = read_feature(line, self.text)
                yield with_contexts(feature, self._contexts.get(feature.index, []))

    def survey(self) -> None:
        """Read all of it once: what is there, and what follows for the whole."""
        stated: dict[str, Any] = {}
        for path in self.files.facts:
            stated |= read_object(path) if path.suffix == ".json" else next(read_lines(path), {})
        exact = stated.get("n_tokens")  # our own exports say it, special tokens left out
        if type(exact) is int:
            self.tokens.know(exact)
        prompts, length = stated.get("num_prompts"), stated.get("num_tokens_in_prompt")
        if type(prompts) is int and type(length) is int and prompts > 0 and length > 0:
            self.tokens.state(prompts * length)
        self.dataset = _word(stated.get("dataset"))
        self.hook_point = _word(stated.get("hook_point"))
        self.output_hook_point = _word(stated.get("output_hook_point"))
        for feature in self.features():
            if feature.index in self.indices:
                raise InvalidRequest(f"Feature {feature.index} is there twice: mixed exports?")
            self.indices.add(feature.index)
            self.tokens.add(feature)
            self.silent += feature.silent
            self.dataset = self.dataset or feature.dataset
            self.hook_point = self.hook_point or feature.hook_point
            self.d_in = self.d_in or feature.d_in
        if not self.indices:
            raise InvalidRequest("The export holds no feature.")

    def _learn(self, raw: dict[str, Any], keys: tuple[str, ...]) -> None:
        for key in keys:
            if raw.get(key) is not None and key not in self.facts:
                self.facts[key] = raw[key]

    @property
    def model(self) -> str:
        """What it calls the model."""
        return _name(self.facts.get("model_id") or self.facts.get("modelId"), "model")

    @property
    def dictionary(self) -> str:
        """What Neuronpedia calls the dictionary: `LAYER-SET`."""
        layer, of_set = self.facts.get("layer", ""), self.facts.get("sae_set")
        suffix = self.facts.get("sae_id_suffix")
        parts = f"{layer}-{of_set}" if of_set else str(layer)
        return _name(f"{parts}__{suffix}" if suffix else parts, "dictionary")


def import_export(
    store: Store,
    files: ExportFiles,
    names: Names,
    replace: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> DictionaryView:
    """Read an export twice, once to survey and once to publish it; the dictionary published.

    Features that the export leaves out are kept as such, so that numbers stay what they are.

    Raises:
        InvalidRequest: a file is damaged or holds what makes no sense, or the names belong to
            something else in the store. The store is as it was.
    """
    # First pass: sizes, tokens, contexts and names.
    say("Surveying the export")
    checksum = files.checksum()
    source = _Source(files, ForeignText())
    source.survey()
    model, name = names.model or source.model, names.dictionary or source.dictionary
    known = _check_names(store, model, name, checksum, replace)
    if known is not None:  # the ids of what was imported before stay
        source = _Source(files, ForeignText(store.vocabulary(known.model_id)))
        source.survey()
    # Second pass: records, while the store takes them.
    d_sae = _width(source.indices)
    say(f"Importing {len(source.indices):,} features with {len(source.text):,} contexts")
    labels = _labels(files, d_sae)
    n_tokens = source.tokens.n_tokens
    store.publish(
        HarvestRecord(
            model=model,
            dictionary=name,
            corpus=source.dataset or NOT_STATED,
            seed=0,
            n_ctx=max(1, source.text.longest),
            n_tokens=n_tokens,
            n_windows=len(source.text),
            settings={"imported": checksum},
            fingerprint=checksum,
        ),
        _records(source, d_sae, n_tokens),
        source.text.windows(),
        model=_model_record(model, source, known),
        dictionary=DictionaryRecord(
            model=model,
            name=name,
            hook_point=names.hook_point or source.hook_point or f"layer {_layer(source)}",
            architecture=NOT_STATED,
            d_in=source.d_in,
            d_sae=d_sae,
            path="",
            checksum=checksum,
            dtype=NOT_STATED,
            details=_details(source, d_sae, len({label.index for label in labels})),
        ),
        corpus=CorpusRecord(
            name=source.dataset or NOT_STATED,
            source="the export, which holds the contexts alone",
            fingerprint=checksum,
            n_documents=0,
            n_tokens=n_tokens,
        ),
    )
    view = store.dictionary(model, name)
    store.labels.take(view, labels)
    return view


def _records(source: _Source, d_sae: int, n_tokens: int) -> Iterator[FeatureRecord]:
    for feature in source.features():
        yield record(feature, n_tokens)
    for index in range(d_sae):
        if index not in source.indices:
            yield missing(index)


def _check_names(
    store: Store, model: str, name: str, checksum: str, replace: bool
) -> DictionaryView | None:
    """A dictionary of the same imported model, if there is one."""
    of_model = [view for view in store.catalogue() if view.model == model]
    for view in of_model:
        if view.model_path:
            raise InvalidRequest(
                f"The store has a model {model!r} of its own, from {view.model_path}: give the "
                "import another name with --model-name."
            )
        if view.name == name and view.checksum != checksum and not replace:
            raise InvalidRequest(
                f"The store has another import named {view.title}. Choose a --name, or give "
                "--replace to let it go."
            )
    return of_model[0] if of_model else None


def _model_record(model: str, source: _Source, known: DictionaryView | None) -> ModelRecord:
    vocabulary = source.text.vocabulary
    return ModelRecord(
        name=model,
        path="",
        checksum=hashlib.sha256(f"imported {model}".encode()).hexdigest(),
        dtype=NOT_STATED,
        architecture="imported",
        n_layers=0,
        d_model=0,
        n_ctx=max(source.text.longest, known.n_ctx if known else 0),
        d_vocab=len(vocabulary.pieces),
        vocabulary=vocabulary,
    )


def _details(source: _Source, d_sae: int, labelled: int) -> dict[str, Any]:
    """What the pages say of where it comes from, and of what is not there."""
    lacks = [
        "The weights of model and dictionary: nothing can be ablated, prompted or steered.",
        "The documents that the contexts come from, and which tokens are special.",
        "How its contexts were drawn: groups and intervals are the source's own.",
        "Confidence intervals of densities.",
        "Features that fire together"
        + (
            "; those with the largest decoder cosine."
            if not source.files.features
            else ", unless it names the nearest ones."
        ),
    ]
    if not source.tokens.stated:
        lacks.append(
            "How many tokens it was run on, in a way that fits its own counts: the number shown "
            "follows from counts and densities."
            if source.tokens.n_tokens
            else "How many tokens it was run on: densities cannot be said."
        )
    if len(source.indices) < d_sae:
        lacks.append(f"{d_sae - len(source.indices):,} features below the highest number in it.")
    if source.silent:
        lacks.append(
            f"An activation in {source.silent:,} of its contexts, which are left out here."
        )
    if not labelled:
        lacks.append("Labels.")
    return {
        "imported": "Neuronpedia export" if source.files.features else "SAEDashboard batches",
        "files": len(source.files.all),
        "features in it": len(source.indices),
        "labels in it": labelled,
        "lacks": lacks,
        **({WRITES_AT: source.output_hook_point} if source.output_hook_point else {}),
    }


def _width(indices: set[int]) -> int:
    """Features of the dictionary, as far as the largest index that is there.

    Raises:
        InvalidRequest: nearly all of them are missing: each would take its room in the store.
    """
    d_sae = max(indices) + 1
    most = MOST_MISSING + MISSING_PER_FEATURE * len(indices)
    if d_sae > most:
        raise InvalidRequest(
            f"There is a feature {d_sae - 1:,} among {len(indices):,} features in all; so few are "
            f"taken up to {most - 1:,}. Import more of them together."
        )
    return d_sae


def _labels(files: ExportFiles, d_sae: int) -> list[NewLabel]:
    """All explanations of the features that are there."""
    most = min(d_sae, MOST_FEATURES)
    every = (label for path in files.explanations for label in read_explanations(path))
    return [label for label in every if label.index < most]


def _layer(source: _Source) -> str:
    number = re.match(r"\d+", str(source.facts.get("layer", "")))
    return number[0] if number else NOT_STATED


def _word(value: Any) -> str:
    return value[:400] if isinstance(value, str) else ""


def _name(value: Any, what: str) -> str:
    """A name that an address can hold."""
    words = _UNFIT.sub("-", str(value or "").strip())[:100].lstrip(" .+@=,-")
    if not words:
        option = "--model-name" if what == "model" else "--name"
        raise NotFound(f"The export does not say what its {what} is called: give {option}.")
    return words
