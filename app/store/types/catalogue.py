"""What goes into the store and what comes out of it: frozen values, no queries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.store.types.comparisons import Recurrence
from app.store.types.rules import RuleBrief
from sae_core.harvest.density import wilson_interval
from sae_core.harvest.records import (
    ContextEffect,
    Examples,
    FeatureRecord,
    Histogram,
    Landing,
    Ranking,
    WindowRecord,
)
from sae_core.language_model.vocabulary import Vocabulary

N_STRONGEST = 4
"""How many of the tokens that a feature raises most stand for it in lists and are searched."""
LOSS_NOISE = "loss_noise"
"""In a dictionary's details: how far rounding alone moves the loss of a token, r.m.s. in nats."""
WRITES_AT = "writes at"
"""In a transcoder's details: the hook point whose activation it reconstructs."""


@dataclass(frozen=True)
class ModelRecord:
    """A language model.

    Attributes:
        name: what pages and URLs call it.
        path: folder or name it is loaded from; empty: it was imported without its weights.
        checksum: of its weights and tokenizer.
        dtype: of the activations that were harvested.
        architecture: such as `GPT2LMHeadModel`.
        n_layers: transformer blocks.
        d_model: width of the residual stream.
        n_ctx: longest context it takes.
        d_vocab: tokens it predicts.
        vocabulary: the bytes of each token.
        details: anything else worth showing: JSON values.
    """

    name: str
    path: str
    checksum: str
    dtype: str
    architecture: str
    n_layers: int
    d_model: int
    n_ctx: int
    d_vocab: int
    vocabulary: Vocabulary
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class DictionaryRecord:
    """A dictionary at one hook point of a model.

    Attributes:
        model: name of the model.
        name: what pages and URLs call it, unique within the model.
        hook_point: where it reads, such as `blocks.0.mlp.hook_post`.
        architecture: such as `topk`; `identity` for the neuron basis.
        d_in: width of the activation.
        d_sae: number of features.
        path: folder of its weights; None for the neuron basis.
        checksum: of its weights.
        dtype: it was run in.
        evaluation: l0, fvu, l_clean, l_recon, l_zero, l_mean, extra_loss_fraction, …; None: not
            evaluated.
        details: anything else worth showing: JSON values.
    """

    model: str
    name: str
    hook_point: str
    architecture: str
    d_in: int
    d_sae: int
    path: str | None
    checksum: str
    dtype: str
    evaluation: Mapping[str, Any] | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class CorpusRecord:
    """A tokenized text. Another fingerprint under the same name is another corpus.

    Attributes:
        name: what pages call it.
        source: where it was read, in words.
        fingerprint: SHA-256 of names, texts and tokenizer.
        n_documents: documents in all.
        n_tokens: tokens in all, not only those harvested.
        details: anything else worth showing: JSON values.
    """

    name: str
    source: str
    fingerprint: str
    n_documents: int
    n_tokens: int
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class HarvestRecord:
    """One pass of a dictionary over a corpus.

    Attributes:
        model: name of the model.
        dictionary: name of the dictionary.
        corpus: name of the corpus.
        seed: of window order and example sampling.
        n_ctx: positions in a window, BOS included.
        n_tokens: non-special tokens that were read; densities are shares of it.
        n_windows: windows that were read.
        settings: everything else that the result depends on: JSON values.
        fingerprint: of the corpus; empty: the one of that name added last.
    """

    model: str
    dictionary: str
    corpus: str
    seed: int
    n_ctx: int
    n_tokens: int
    n_windows: int
    settings: Mapping[str, Any] = field(default_factory=dict)
    fingerprint: str = ""


@dataclass(frozen=True)
class DictionaryView:
    """A dictionary with its model and, once published, its harvest.

    Attributes:
        id: of the dictionary in the store.
        model_id: of its model in the store.
        model: name of the model.
        name: of the dictionary; the other fields up to `details` as in `DictionaryRecord`.
        model_path: of the model; so the other `model_` fields, as in `ModelRecord`.
        n_ctx: longest context the model takes (windows have `harvest.n_ctx` positions).
        corpus: that was harvested; None: nothing is published yet.
        harvest: what is published; None: nothing yet.
        alive: features that fire at all; 0 before a harvest.
        digest: SHA-256 of all that the harvest depends on; empty before a harvest.
        mapped: whether there is a map of these weights.
    """

    id: int
    model_id: int
    model: str
    name: str
    hook_point: str
    architecture: str
    d_in: int
    d_sae: int
    path: str | None
    checksum: str
    dtype: str
    evaluation: Mapping[str, Any] | None
    details: Mapping[str, Any]
    model_path: str
    model_checksum: str
    model_dtype: str
    model_architecture: str
    model_details: Mapping[str, Any]
    n_layers: int
    d_model: int
    n_ctx: int
    d_vocab: int
    corpus: CorpusRecord | None
    harvest: HarvestRecord | None
    alive: int
    digest: str
    mapped: bool

    @property
    def is_neurons(self) -> bool:
        """Whether this is the neuron basis, the identity dictionary."""
        return self.path is None

    @property
    def output_hook_point(self) -> str:
        """Whose activation is reconstructed: the one that is read, but for a transcoder."""
        written = self.details.get(WRITES_AT)
        return written if isinstance(written, str) else self.hook_point

    @property
    def places(self) -> str:
        """Where it reads and, if that is elsewhere, where it writes; for pages and sentences."""
        return (
            f"{self.hook_point} → {self.output_hook_point}"
            if self.is_transcoder
            else self.hook_point
        )

    @property
    def is_transcoder(self) -> bool:
        """Whether another activation is reconstructed than the one that is read."""
        return self.output_hook_point != self.hook_point

    @property
    def is_imported(self) -> bool:
        """Whether it came without model and weights: what is stored can be read, no more."""
        return self.model_path == ""

    @property
    def loss_noise(self) -> float | None:
        """How far rounding alone moves the loss of a token, root mean square in nats.

        0 where the model runs in float32 or float64; None: it was never measured.
        """
        if self.model_dtype in ("float32", "float64"):
            return 0.0
        noise = self.details.get(LOSS_NOISE)
        return float(noise) if isinstance(noise, (int, float)) else None

    @property
    def title(self) -> str:
        """`model/name`, for sentences."""
        return f"{self.model}/{self.name}"

    @property
    def n_tokens(self) -> int:
        """Tokens behind the densities; 0 before a harvest."""
        return self.harvest.n_tokens if self.harvest else 0


@dataclass(frozen=True)
class FeatureRow:
    """A feature in the table.

    Attributes:
        index: in its dictionary.
        firings: non-special tokens on which it fires.
        density: share of the harvest's tokens on which it fires.
        maximum: largest activation.
        histogram: of the activations > 0.
        label: what it means, in words; empty: not said yet.
        raised: the tokens whose logits it raises most.
        n_tokens: of the harvest; 0: not known.
        fires_on: as in `FeatureRecord`.
        fires_after: as in `FeatureRecord`.
        landing: where its effect lands; None: not computed.
        rule: what its firings were learnt to depend on; None: there is no rule.
        recurrence: in how many other dictionaries it was found; None: it was compared with none.
        best: its strongest context alone, with what fires around the peak; None: it has none, or an
            older version harvested it.
        window: that `best` lies in; None: there is none, or it was not asked for.
    """

    index: int
    firings: int
    density: float
    maximum: float
    histogram: Histogram
    label: str
    raised: Ranking
    n_tokens: int
    fires_on: Ranking | None = None
    fires_after: Ranking | None = None
    landing: Landing | None = None
    rule: RuleBrief | None = None
    recurrence: Recurrence | None = None
    best: Examples | None = None
    window: WindowRecord | None = None

    @property
    def strongest(self) -> list[int]:
        """Ids of the first few raised tokens, which stand for the feature in lists."""
        ids: list[int] = self.raised.ids[:N_STRONGEST].tolist()
        return ids


@dataclass(frozen=True)
class FeatureScales:
    """How often and how strongly each feature of a dictionary fires in its harvest.

    Attributes:
        maxima: largest activation of each, model units, float64 [d_sae]; 0.0 for a dead one.
        firings: non-special tokens on which each fires, int64 [d_sae].
        n_tokens: non-special tokens of the harvest.
    """

    maxima: NDArray[np.float64]
    firings: NDArray[np.int64]
    n_tokens: int


@dataclass(frozen=True)
class FeatureTable:
    """One page of rows.

    Attributes:
        dictionary: the one that the rows belong to, as of the same instant.
        rows: in order.
        total: rows on all pages.
        page: which one this is, from 1.
        pages: how many there are, at least 1.
        matching: how many tokens of the vocabulary fit what the query says of them; None: it says
            nothing of them.
        knows_tokens: whether the harvest counted what its features fire on.
        knows_effects: whether the mean effects of its features were computed.
        knows_rules: whether rules were learnt for them.
        trainings: with how many other dictionaries of the hook point they were compared.
    """

    dictionary: DictionaryView
    rows: tuple[FeatureRow, ...]
    total: int
    page: int
    pages: int
    matching: int | None = None
    knows_tokens: bool = False
    knows_effects: bool = False
    knows_rules: bool = False
    trainings: int = 0


@dataclass(frozen=True)
class FeatureView:
    """All that the store knows of one feature, read at one instant.

    Attributes:
        dictionary: the one it belongs to, as of the same instant.
        record: as harvested.
        label: what it means, in words; empty: not said yet.
        windows: every window its examples point to, by number.
        effects: what ablating it does, by window; only what is cached.
        landing: where its effect lands; None: not computed.
        names: labels of the features of its dictionary that it is related to, by index.
        neuron_names: labels of those that `record.neurons` names; read beside the others by
            `app/rendering/feature.py`, as they belong to another dictionary.
    """

    dictionary: DictionaryView
    record: FeatureRecord
    label: str
    windows: Mapping[int, WindowRecord]
    effects: Mapping[int, ContextEffect]
    landing: Landing | None = None
    names: Mapping[int, str] = field(default_factory=dict)
    neuron_names: Mapping[int, str] = field(default_factory=dict)

    @property
    def density(self) -> float:
        """Share of the harvest's tokens on which it fires; 0 where their number is not known."""
        return self.record.firings / max(1, self.dictionary.n_tokens)

    @property
    def most_documents(self) -> float | None:
        """Of a dead feature: the share of documents that it fires in at most, with 95 % confidence.

        The documents are those like the harvest's; None: their number is not known.
        """
        harvest = self.dictionary.harvest
        documents = harvest.settings.get("documents") if harvest else None
        return wilson_interval(0, documents)[1] if isinstance(documents, int) else None


@dataclass(frozen=True)
class PresetView:
    """A named setting of a model's steering page.

    Attributes:
        name: unique for the model.
        settings: JSON values; what they mean is the steering page's.
    """

    name: str
    settings: Mapping[str, Any]
