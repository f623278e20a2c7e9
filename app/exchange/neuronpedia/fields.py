"""One feature of a Neuronpedia or SAEDashboard export, read field by field and never trusted.

The format is SAEDashboard's `NeuronpediaDashboardFeature` (sae_dashboard/neuronpedia);
Neuronpedia's own exports have the same fields, with contexts apart and in camel case.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.errors import InvalidRequest
from app.exchange.neuronpedia.texts import ForeignText
from sae_core.harvest.records import Histogram, Ranking

MOST_FEATURES = 4_000_000
TOP = -1.0  # `bin_min` of the strongest contexts
_MOST_BUCKETS = 10_000
_LARGEST = 1e30
_MOST_FIRINGS = 1e14  # in a bucket: sums fit 64 bits
_ZERO = 1e-9  # an edge so small beside the other one is 0, which rounding moved


@dataclass(frozen=True)
class ForeignContext:
    """A context of a feature.

    Attributes:
        window: its number in the `ForeignText`.
        peak: position that it was chosen for.
        positions: where the feature fires, ascending, uint16 [n].
        values: its activations there, > 0, float32 [n].
        low: lower end of its interval; `TOP`: it is one of the strongest.
        high: upper end.
        share: of all tokens, zeros included, whose activation lies in the interval.
    """

    window: int
    peak: int
    positions: NDArray[np.uint16]
    values: NDArray[np.float32]
    low: float
    high: float
    share: float


@dataclass(frozen=True)
class ForeignFeature:
    """A feature as the source has it.

    Attributes:
        index: of the feature.
        density: share of all tokens on which it fires, as rounded there; None: not given.
        maximum: largest activation named anywhere.
        activations: their histogram; no buckets where none is given.
        logits: histogram of the logit weights; likewise.
        raised: tokens whose logits it raises most.
        lowered: tokens whose logits it lowers most.
        neurons: neurons that it aligns with, with their share of the L1 norm.
        nearest: features with the largest decoder cosine.
        contexts: in the source's order.
        silent: contexts in which it does not fire, left out.
        n_tokens: on which it was run; 0: not given.
        dataset: where they come from; empty: not given.
        hook_point: where its dictionary reads; empty: not given.
        d_in: width of its decoder row; 0: not given.
    """

    index: int
    density: float | None
    maximum: float
    activations: Histogram
    logits: Histogram
    raised: Ranking
    lowered: Ranking
    neurons: Ranking
    nearest: Ranking
    contexts: tuple[ForeignContext, ...]
    silent: int
    n_tokens: int
    dataset: str
    hook_point: str
    d_in: int


def read_feature(raw: Any, text: ForeignText) -> ForeignFeature:
    """A feature with the contexts that lie in it.

    Raises:
        InvalidRequest: a field is not of its kind; the sentence names feature and field.
    """
    fields = _Fields(raw, "A feature")
    index = fields.whole("feature_index" if "feature_index" in fields.raw else "index")
    if index >= MOST_FEATURES:
        raise InvalidRequest(f"There is a feature {index:,}; at most {MOST_FEATURES:,} are taken.")
    fields = _Fields(raw, f"Feature {index}")
    activations = fields.histogram("freq_hist_data")
    feature = ForeignFeature(
        index=index,
        density=fields.share("frac_nonzero") if "frac_nonzero" in fields.raw else None,
        maximum=max(0.0, fields.number("maxActApprox"), activations.high),
        activations=activations,
        logits=fields.histogram("logits_hist_data"),
        raised=fields.tokens("pos", text),
        lowered=fields.tokens("neg", text),
        neurons=fields.ranking(
            "neuron_alignment_indices", "neuron_alignment_values", "neuron_alignment_l1"
        ),
        nearest=fields.ranking("topkCosSimIndices", "topkCosSimValues"),
        contexts=(),
        silent=0,
        n_tokens=fields.whole("n_prompts_total") * fields.whole("n_tokens_in_prompt"),
        dataset=fields.word("dataset"),
        hook_point=fields.word("hookName"),
        d_in=len(fields.items("vector")),
    )
    return with_contexts(
        feature, [_context(context, index, text) for context in fields.items("activations")]
    )


def with_contexts(feature: ForeignFeature, contexts: Sequence[ForeignContext]) -> ForeignFeature:
    """The feature with these contexts; those in which it does not fire are only counted."""
    kept = tuple(context for context in contexts if len(context.values))
    strongest = max((float(context.values.max()) for context in kept), default=0.0)
    return replace(
        feature,
        contexts=kept,
        silent=len(contexts) - len(kept),
        maximum=strongest or feature.maximum,
    )


def read_context(raw: Any, text: ForeignText) -> tuple[int, ForeignContext]:
    """A context that lies apart from its feature: that one's index, and the context."""
    index = _Fields(raw, "A context").whole("index")
    return index, _context(raw, index, text)


def _context(raw: Any, index: int, text: ForeignText) -> ForeignContext:
    fields = _Fields(raw, f"A context of feature {index}")
    tokens = fields.words("tokens")
    values = fields.floats("values")
    if len(values) != len(tokens):
        raise InvalidRequest(
            f"A context of feature {index} has {len(tokens)} tokens and {len(values)} values."
        )
    window = text.window(tokens)
    positions = np.flatnonzero(values > 0)
    peak = fields.either("qualifying_token_index", "qualifyingTokenIndex", "maxValueTokenIndex")
    at = int(values.argmax()) if peak is None else int(peak)
    low = fields.either("bin_min", "binMin")
    return ForeignContext(
        window=window,
        peak=at if 0 <= at < len(tokens) and values[at] > 0 else int(values.argmax()),
        positions=positions.astype(np.uint16),
        values=values[positions],
        low=TOP if low is None else low,
        high=fields.either("bin_max", "binMax") or 0.0,
        share=fields.either("bin_contains", "binContains") or 0.0,
    )


class _Fields:
    """The fields of one object; what is missing or null counts as empty.

    Args:
        raw: the object.
        what: its name for sentences.
    """

    def __init__(self, raw: Any, what: str) -> None:
        if not isinstance(raw, Mapping):
            raise InvalidRequest(f"{what} is no object with fields: is this another format?")
        self.raw = raw
        self._what = what

    def _bad(self, name: str, kind: str) -> InvalidRequest:
        return InvalidRequest(f"{self._what} has a field {name!r} that is no {kind}.")

    def whole(self, name: str) -> int:
        """A number from 0 on, also where it is written as a string."""
        value = self.raw.get(name) or 0
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 16:
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 53:
            raise self._bad(name, "whole number from 0 on")
        return value

    def number(self, name: str) -> float:
        """A finite number."""
        value = self.raw.get(name)
        return 0.0 if value is None else self._finite(name, value)

    def share(self, name: str) -> float:
        """A number from 0 to 1."""
        value = self.number(name)
        if not 0.0 <= value <= 1.0:
            raise self._bad(name, "share from 0 to 1")
        return value

    def either(self, *names: str) -> float | None:
        """The number under the first of these names that holds one."""
        for name in names:
            if self.raw.get(name) is not None:
                return self._finite(name, self.raw[name])
        return None

    def _finite(self, name: str, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self._bad(name, "number")
        if not abs(value) <= _LARGEST:  # nor is what is no number
            raise self._bad(name, "number that can be used: it is too large, or not finite")
        return float(value)

    def word(self, name: str) -> str:
        """A text."""
        value = self.raw.get(name)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise self._bad(name, "text")
        return value[:400]

    def items(self, name: str) -> list[Any]:
        """A list of anything."""
        value = self.raw.get(name)
        if value is None:
            return []
        if not isinstance(value, list):
            raise self._bad(name, "list")
        return value

    def words(self, name: str) -> list[str]:
        """A list of texts."""
        values = self.items(name)
        if not all(isinstance(value, str) for value in values):
            raise self._bad(name, "list of texts")
        return values

    def floats(self, name: str) -> NDArray[np.float32]:
        """A list of finite numbers, as the store keeps them."""
        return self.doubles(name).astype(np.float32)

    def doubles(self, name: str) -> NDArray[np.float64]:
        """A list of finite numbers."""
        values = self.items(name)
        if not all(type(value) in (int, float) for value in values):
            raise self._bad(name, "list of numbers")
        try:
            array = np.array(values, dtype=np.float64)
        except (OverflowError, ValueError):
            raise self._bad(name, "list of numbers of a usable size") from None
        if array.size and not np.abs(array).max() <= _LARGEST:
            raise self._bad(name, "list of finite numbers")
        return array

    def histogram(self, name: str) -> Histogram:
        """Counts over buckets that are given by their centres."""
        heights = self.doubles(f"{name}_bar_heights")
        centres = self.doubles(f"{name}_bar_values")
        fits = len(heights) == len(centres) <= _MOST_BUCKETS
        if not fits or not ((heights >= 0) & (heights <= _MOST_FIRINGS)).all():
            raise self._bad(f"{name}_bar_heights", "list of counts, one for each bar")
        if not len(heights):
            return Histogram(0.0, 0.0, np.zeros(0, np.int64))
        half = (centres[-1] - centres[0]) / (len(centres) - 1) / 2 if len(centres) > 1 else 0.0
        low, high = float(centres[0] - half), float(centres[-1] + half)
        if abs(low) < _ZERO * abs(high):
            low = 0.0
        counts = np.rint(heights).astype(np.int64)
        return Histogram(min(low, high), max(low, high), counts)

    def tokens(self, name: str, text: ForeignText) -> Ranking:
        """Tokens with a weight each."""
        words, weights = self.words(f"{name}_str"), self.floats(f"{name}_values")
        if len(words) != len(weights):
            raise self._bad(f"{name}_values", f"list as long as '{name}_str'")
        return Ranking(text.ids(words), weights, np.zeros(0, np.float32))

    def ranking(self, indices: str, values: str, shares: str = "") -> Ranking:
        """Numbers of neurons or features with a weight each; incomplete ones count as none."""
        which, weights = self.items(indices), self.floats(values)
        parts = self.floats(shares) if shares else np.zeros(0, np.float32)
        if not all(type(i) is int and 0 <= i < 1 << 31 for i in which):
            raise self._bad(indices, "list of indices")
        if len(which) != len(weights):
            return Ranking(np.zeros(0, np.int32), weights[:0], weights[:0])
        kept = parts if len(parts) == len(which) else parts[:0]
        return Ranking(np.array(which, dtype=np.int32), weights, kept)
