"""What is harvested: a model, a dictionary and a text, opened and found to fit each other."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from app.errors import InvalidRequest
from app.settings import Settings
from app.store.names import check_name
from app.store.types.catalogue import (
    LOSS_NOISE,
    WRITES_AT,
    CorpusRecord,
    DictionaryRecord,
    ModelRecord,
)
from sae_core.dictionaries.checkpoint import dictionary_checksum, load_dictionary, neuron_basis
from sae_core.dictionaries.dictionary import Dictionary
from sae_core.dictionaries.places import places_of
from sae_core.files.gguf.conversion import gguf_folder
from sae_core.files.gguf.header import SUFFIX, is_gguf
from sae_core.harvest.fit_check import centres_in_vain
from sae_core.interventions.rounding import SHORT_DTYPES, loss_noise
from sae_core.language_model.model import LanguageModel, load_model
from sae_core.text.reading import TextReading, read
from sae_core.text.tokenized import TokenizedCorpus, Windows

N_CTX = 128
# In a dictionary's details: whether BOS opened every text that it was harvested on.
OPENS_WITH_BOS = "prepend_bos"
FOLDERS_SHOWN = 12
TRAINING_RECORD = "training.json"  # what a training of ours writes beside its dictionary, last
# Held-out text of fewer tokens or documents than these tells too little of a dictionary.
FEWEST_TOKENS = 20_000
FEWEST_DOCUMENTS = 30
NOISE_TOKENS = 1024  # how much text shows how far rounding moves losses


@dataclass(frozen=True)
class SourceSpec:
    """Which model, dictionary and text, as a command names them.

    Attributes:
        model: folder of a Hugging Face model, its name on the Hub, or a GGUF file.
        dictionary: folder of a dictionary; None where `neurons` is given.
        neurons: hook point of the neuron basis; None where `dictionary` is given.
        name: what pages call the dictionary; None: its folder's name, or `neurons HOOK_POINT`.
        model_name: what pages call the model; None: its folder's name.
        corpus: the text: its name alone, or how it is read as well.
        n_ctx: positions in a window; None: 128, or the model's context where that is shorter.
        writers: folder of a dictionary whose features are listed with the neurons they write to.
        writers_name: what pages call that dictionary; None: its folder's name.
        dtype: that the model runs in.
        revision: of a model on the Hub; None: its newest.
        prepend_bos: whether BOS opens each context, where the dictionary's files do not say; None:
            as the model's own tokenizer does with plain text.
    """

    model: str
    dictionary: Path | None = None
    neurons: str | None = None
    name: str | None = None
    model_name: str | None = None
    corpus: str | TextReading = "python-stdlib"
    n_ctx: int | None = None
    writers: Path | None = None
    writers_name: str | None = None
    dtype: str = "float32"
    revision: str | None = None
    prepend_bos: bool | None = None

    def __post_init__(self) -> None:
        if (self.dictionary is None) == (self.neurons is None):
            raise InvalidRequest("Name either a dictionary's folder or a hook point for neurons.")
        for name in self.titles:
            check_name(name)

    @property
    def titles(self) -> tuple[str, str]:
        """Names of model and dictionary on the pages."""
        default = self.dictionary.resolve().name if self.dictionary else f"neurons {self.neurons}"
        return self.model_name or model_title(Path(self.model)), self.name or default

    @property
    def writers_title(self) -> str | None:
        """What pages call the writers' dictionary."""
        return self.writers_name or (self.writers.resolve().name if self.writers else None)


@dataclass(frozen=True)
class Source:
    """The opened parts.

    Attributes:
        spec: what was asked for.
        model: the language model.
        dictionary: on the model's device.
        checksum: of the dictionary.
        corpus: the text as tokens.
        windows: the text cut into windows.
        writers: the dictionary that `spec.writers` names.
        details: what else is known of the dictionary, for its provenance: JSON values.
    """

    spec: SourceSpec
    model: LanguageModel
    dictionary: Dictionary
    checksum: str
    corpus: TokenizedCorpus
    windows: Windows
    writers: Dictionary | None
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """`model/dictionary`, for sentences."""
        return "/".join(self.spec.titles)

    def held_out(self, n_tokens: int) -> bool:
        """Whether an evaluation on so many tokens keeps to documents that no training of ours saw.

        It does where our own training made the dictionary, and elsewhere as long as these documents
        are enough to tell something; a dictionary from elsewhere saw none of the text, so that all
        of it may be used.
        """
        corpus = self.corpus
        if self.spec.dictionary is not None and (self.spec.dictionary / TRAINING_RECORD).is_file():
            return bool(corpus.held_out.any())
        tokens = int(corpus.lengths[corpus.held_out].sum())
        enough = min(n_tokens, FEWEST_TOKENS)
        return tokens >= enough and int(corpus.held_out.sum()) >= FEWEST_DOCUMENTS

    def evaluation_windows(self, n_tokens: int, seed: int) -> NDArray[np.int64]:
        """Windows to evaluate on, as `evaluation_windows` draws them."""
        return evaluation_windows(self.windows, n_tokens, seed, self.held_out(n_tokens))

    def model_record(self) -> ModelRecord:
        """The model as the store keeps it."""
        model = self.model
        return ModelRecord(
            name=self.spec.titles[0],
            path=str(model.path.resolve()),
            checksum=model.checksum,
            dtype=str(model.dtype).removeprefix("torch."),
            architecture=model.architecture,
            n_layers=model.n_layers,
            d_model=model.d_model,
            n_ctx=model.n_ctx,
            d_vocab=model.d_vocab,
            # The same for every dictionary of the model, however its texts are opened.
            vocabulary=replace(model.vocabulary, bos=model.bos),
            details=model.facts,
        )

    def dictionary_record(self, evaluation: Mapping[str, Any] | None) -> DictionaryRecord:
        """The dictionary as the store keeps it, with these figures."""
        model_name, name = self.spec.titles
        dictionary = self.dictionary
        later = () if dictionary.output is None else dictionary.output.later
        return DictionaryRecord(
            model=model_name,
            name=name,
            hook_point=dictionary.hook_point,
            architecture=dictionary.architecture,
            d_in=dictionary.d_in,
            d_sae=dictionary.d_sae,
            path=str(self.spec.dictionary.resolve()) if self.spec.dictionary else None,
            checksum=self.checksum,
            dtype=str(dictionary.b_dec.dtype).removeprefix("torch."),
            evaluation=evaluation,
            details={
                **self.details,
                **(
                    {WRITES_AT: dictionary.output_hook_point, "d_out": dictionary.d_out}
                    if dictionary.is_transcoder
                    else {}
                ),
                **({"writes as well at": ", ".join(later)} if later else {}),
                OPENS_WITH_BOS: self.model.vocabulary.bos is not None,
                "texts open": opening_sentence(self.model, self.dictionary, self.spec.prepend_bos),
                **({"writers": self.spec.writers_title} if self.writers is not None else {}),
                **({LOSS_NOISE: self._loss_noise()} if self.model.dtype in SHORT_DTYPES else {}),
            },
        )

    def _loss_noise(self) -> float:
        """How far rounding alone moves a loss on a few windows of this text, nats."""
        hook_point = places_of(self.model, self.dictionary).write
        drawn = self.windows.gather(self.windows.select(NOISE_TOKENS, seed=0))
        tokens, is_text = (torch.from_numpy(part) for part in drawn)
        return loss_noise(self.model, hook_point, tokens, is_text)

    def corpus_record(self) -> CorpusRecord:
        """The text as the store keeps it."""
        corpus = self.corpus
        return CorpusRecord(
            name=corpus.name,
            source=corpus.source,
            fingerprint=corpus.fingerprint,
            n_documents=corpus.n_documents,
            n_tokens=corpus.n_tokens,
            details={
                **corpus.details,
                "held out of training": f"{int(corpus.held_out.sum())} documents",
                "documents by folder": _by_folder(corpus.names),
            },
        )


def _by_folder(names: Sequence[str]) -> str:
    """How many documents each top folder has, the largest first, at most a dozen by name."""
    counts = Counter(name.partition("/")[0] if "/" in name else "top" for name in names)
    shown = [f"{folder} {n}" for folder, n in counts.most_common(FOLDERS_SHOWN)]
    rest = len(names) - sum(n for _, n in counts.most_common(FOLDERS_SHOWN))
    return ", ".join([*shown, f"others {rest}"] if rest else shown)


def evaluation_windows(
    windows: Windows, n_tokens: int, seed: int, held_out: bool = True
) -> NDArray[np.int64]:
    """Windows in seeded order, cut at `n_tokens` tokens.

    Args:
        windows: the text.
        n_tokens: how many tokens are evaluated at most, rounded up to whole windows.
        seed: what the order is made from.
        held_out: take held-out documents alone, where there are any.
    """
    every = windows.select(None, seed)
    if held_out and windows.corpus.held_out.any():
        every = every[windows.corpus.held_out[windows.document_of(every)]]
    total = np.cumsum(windows.lengths(every))
    return every[: int(np.searchsorted(total, n_tokens)) + 1]


def open_source(settings: Settings, spec: SourceSpec) -> Source:
    """Load model, dictionary and text.

    Raises:
        FeaturescopeError: one of them is missing or damaged, or they do not fit each other; the
            sentence says which.
    """
    model = open_model(settings, spec.model, spec.dtype, spec.revision)
    dictionary, checksum = open_dictionary(model, spec, settings.device)
    model = opened_for(model, dictionary, spec.prepend_bos)
    n_ctx = default_context(model, dictionary) if spec.n_ctx is None else spec.n_ctx
    windows = open_windows(settings, model, spec.corpus, n_ctx)
    writers = load_dictionary(spec.writers, settings.device) if spec.writers else None
    if writers is not None and (writers.output_hook_point, writers.d_out) != (
        dictionary.hook_point,
        dictionary.d_in,
    ):
        raise InvalidRequest(
            f"{spec.writers} writes to {writers.d_out} neurons at {writers.output_hook_point}, not "
            f"to the {dictionary.d_in} at {dictionary.hook_point}: it says nothing about these."
        )
    return Source(
        spec=spec,
        model=model,
        dictionary=dictionary,
        checksum=checksum,
        corpus=windows.corpus,
        windows=windows,
        writers=writers,
    )


def open_model(
    settings: Settings, name: str | Path, dtype: str = "float32", revision: str | None = None
) -> LanguageModel:
    """Load a model that somebody names: a folder, a GGUF file, or a name on the Hub.

    A GGUF file becomes a folder below the home folder the first time, which is what is loaded.

    Raises:
        ModelError: it is not there, is damaged, or is none that can be used.
        DiskError: the folder of a GGUF file cannot be written.
    """
    place = Path(name).expanduser()
    if is_gguf(place):
        name = gguf_folder(place, settings.home / "gguf")
    return load_model(name, dtype, settings.device, revision)


def model_title(path: Path) -> str:
    """What pages call a model whose folder, file or name on the Hub this is."""
    own = path.resolve().name
    return own[: -len(SUFFIX)] if own.lower().endswith(SUFFIX) and path.is_file() else own


def opened_for(
    model: LanguageModel, dictionary: Dictionary, prepend_bos: bool | None
) -> LanguageModel:
    """The model, reading texts as a dictionary was trained to see them.

    Whether BOS opens a text is the dictionary's word; else what the user says (`prepend_bos`); else
    what the model's own tokenizer does with plain text.

    Raises:
        InvalidRequest: the user and the dictionary disagree.
    """
    said = dictionary.trained_on.prepend_bos
    if said is not None and prepend_bos not in (None, said):
        raise InvalidRequest(
            f"The dictionary was trained on texts {'with' if said else 'without'} BOS before them, "
            "as its files say: leave --prepend-bos out."
        )
    opening = next(word for word in (said, prepend_bos, model.own_opening) if word is not None)
    return model.opening(opening)


def opening_sentence(model: LanguageModel, dictionary: Dictionary, prepend_bos: bool | None) -> str:
    """Whether BOS opens each context of this model, and who says so."""
    if model.bos is None:
        why = "the model has no token that opens a text"
        if dictionary.trained_on.prepend_bos:
            return f"nothing, although the dictionary was trained with BOS: {why}"
        return f"nothing: {why}"
    name = model.vocabulary.pieces[model.bos].decode("utf-8", "replace")
    if dictionary.trained_on.prepend_bos is not None:
        who = "as the dictionary's files say"
    elif prepend_bos is not None:
        who = "as the command says"
    else:
        who = "as the model's own tokenizer does with plain text"
    with_it = "with" if model.vocabulary.bos is not None else "without"
    return f"{with_it} {name} before each context, {who}"


def default_context(model: LanguageModel, dictionary: Dictionary | None = None) -> int:
    """Positions in a window where nobody says: 128, or as many as model and training had."""
    trained = None if dictionary is None else dictionary.trained_on.context_size
    return min(N_CTX, model.n_ctx, N_CTX if trained is None or trained < 2 else trained)


def open_windows(
    settings: Settings,
    model: LanguageModel,
    corpus: str | TextReading,
    n_ctx: int | None = None,
    on_tokens: Callable[[int], None] | None = None,
) -> Windows:
    """A text as a model reads it, in windows of `n_ctx` positions (None: the default).

    `on_tokens` is told how many tokens are encoded.

    Raises:
        InvalidRequest: the model's contexts are shorter.
        CorpusError: there is no such text.
    """
    n_ctx = default_context(model) if n_ctx is None else n_ctx
    if not 2 <= n_ctx <= model.n_ctx:
        raise InvalidRequest(
            f"A context of {n_ctx} tokens does not fit {model.name}: ask for 2 to {model.n_ctx}."
        )
    reading = TextReading(corpus) if isinstance(corpus, str) else corpus
    text = read(reading, model, n_ctx, settings.home / "corpora", on_tokens)
    return Windows(text, n_ctx, model.vocabulary.bos)


def open_dictionary(model: LanguageModel, spec: SourceSpec, device: str) -> tuple[Dictionary, str]:
    """The dictionary and its checksum, once it is known to fit the model."""
    if spec.dictionary is not None:
        dictionary = load_dictionary(spec.dictionary, device)
        places_of(model, dictionary)
        if centres_in_vain(model, dictionary):
            raise InvalidRequest(
                f"{spec.dictionary} asks for a centred residual stream (center_writing_weights), "
                f"which TransformerLens does not make of {model.name}, whose norms do not centre: "
                "`featurescope add` reads it without."
            )
        return dictionary, dictionary_checksum(spec.dictionary)
    assert spec.neurons is not None
    width = model.write_point(spec.neurons).d_in
    basis: Dictionary = neuron_basis(spec.neurons, width).to(device)
    return basis, hashlib.sha256(f"neurons {spec.neurons} {width}".encode()).hexdigest()
