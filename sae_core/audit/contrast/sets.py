"""Which features tell two sets of texts apart, and whether a feature is needed for it.

1. Each text is pooled: of each feature the largest and the mean activation over its tokens, of the
   raw activation the mean.
2. The texts are halved at random, each set by itself; where they have groups (forms, authors),
   whole groups are, so that the second half has other ones.
3. On the first half every feature that fires on enough texts is tested, both poolings, both ways
   (Mann and Whitney, two-sided; exact where texts are few), and the p-values are corrected
   together after Benjamini and Hochberg: q. How often a feature fires does not look at the sets.
4. Those with the largest areas, of equal ones those with the largest difference, are looked at on
   the second half: area with its interval (DeLong).
5. A linear probe on the raw activation is fitted to the first half and looked at on the second,
   beside the best single feature of the first half; the difference has its interval, too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sae_core.audit.contrast.probe import fit_probe
from sae_core.audit.contrast.ranks import (
    MOST_EXACT,
    area_interval,
    auroc,
    benjamini_hochberg,
    delong,
    mann_whitney,
    screened,
)
from sae_core.errors import ContrastError

FEWEST_TEXTS = 10  # of each set
POOLINGS = ("max", "mean")
_FIRES = 0.05  # share of the first half's texts on which a feature fires, at least
_LIKELY = 0.2  # by the approximation; above it the exact test need not be asked
_Z = 1.959963984540054

Numbers = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class PooledTexts:
    """Two sets of texts, pooled.

    Attributes:
        features: that fire on any text, ascending, int64 [k].
        maxima: the largest activation of each on each text, float64 [n, k].
        means: the mean over the text's tokens, float64 [n, k].
        raw: of the raw activation, the mean over the tokens, float64 [n, d_in].
        first: which texts are of the first set, bool [n].
    """

    features: NDArray[np.int64]
    maxima: Numbers
    means: Numbers
    raw: Numbers
    first: Mask


@dataclass(frozen=True)
class TellingFeature:
    """A feature that tells the sets apart on the first half.

    Attributes:
        feature: its number.
        pooling: `max` or `mean`.
        more: whether it is larger on the first set.
        area: on the first half, for the set on which it is larger.
        difference: of the sets' means in standard deviations, first half.
        p: two-sided, first half.
        q: corrected over all features and poolings.
        held_out: area on the second half.
        low: lower end of its 95 % interval.
        high: upper end.
        mean_first: mean over the first set, all its texts, model units.
        mean_second: over the second.
    """

    feature: int
    pooling: str
    more: bool
    area: float
    difference: float
    p: float
    q: float
    held_out: float
    low: float
    high: float
    mean_first: float
    mean_second: float


@dataclass(frozen=True)
class ProbeBeside:
    """The probe beside the best single feature, on the second half.

    Attributes:
        area: of the probe.
        low: lower end of its 95 % interval.
        high: upper end.
        penalty: that was chosen.
        ahead: area of the probe less that of the best feature; NaN without a feature.
        ahead_low: lower end of the difference's interval.
        ahead_high: upper end.
    """

    area: float
    low: float
    high: float
    penalty: float
    ahead: float
    ahead_low: float
    ahead_high: float


@dataclass(frozen=True)
class SetContrast:
    """What tells two sets apart.

    Attributes:
        tested: features that were tested, on each of the poolings.
        told: pairs of feature and pooling with q at most what was asked for.
        wanted_q: that.
        features: the largest areas of the first half, each feature by its better pooling.
        probe: beside the first of these.
        halves: texts of the first and of the second half.
    """

    tested: int
    told: int
    wanted_q: float
    features: tuple[TellingFeature, ...]
    probe: ProbeBeside
    halves: tuple[int, int]

    def as_json(self) -> dict[str, Any]:
        """Lists, texts and numbers; None for what is NaN."""
        value = asdict(self)
        value["probe"] = {
            name: None if math.isnan(number) else number for name, number in value["probe"].items()
        }
        return value


def contrast_of(value: Mapping[str, Any]) -> SetContrast:
    """What `as_json` made, checked.

    Raises:
        ContrastError: it is something else.
    """
    try:
        first, second = map(int, value["halves"])
        return SetContrast(
            tested=int(value["tested"]),
            told=int(value["told"]),
            wanted_q=_finite(value["wanted_q"]),
            features=tuple(_feature_of(row) for row in value["features"]),
            probe=_probe_of(value["probe"], bool(value["features"])),
            halves=(first, second),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ContrastError("This is no contrast of two sets, or it is damaged.") from error


def contrast_sets(
    texts: PooledTexts,
    wanted_q: float = 0.05,
    most: int = 50,
    seed: int = 0,
    groups: Sequence[str] = (),
) -> SetContrast:
    """Contrast two sets.

    Args:
        texts: pooled.
        wanted_q: share of false discoveries that is allowed.
        most: features that are looked at on the second half.
        seed: of the halves and the probe's folds.
        groups: of each text, whichever set it is in; empty for one that has none. Without any, all
            texts stand for themselves.

    Raises:
        ContrastError: a set has too few texts, or too few groups to leave some to each half.
    """
    held = held_out_texts(texts.first, seed, groups)
    half = half_of(texts, ~held)
    strength = np.abs(half.areas - 0.5)
    n = len(half.columns)
    better = strength.argmax(axis=0) if n else np.zeros(0, dtype=np.int64)
    order = np.argsort(-strength[better, np.arange(n)], kind="stable")[:most]
    rows = tuple(
        sorted(
            (_telling(texts, held, half, int(better[at]), at) for at in order.tolist()),
            key=lambda row: (-round(row.area, 12), -abs(row.difference)),
        )
    )
    probe = _probe(texts, held, rows, seed)
    return SetContrast(
        tested=n,
        told=int((half.q <= wanted_q).sum()),
        wanted_q=wanted_q,
        features=rows,
        probe=probe,
        halves=(int((~held).sum()), int(held.sum())),
    )


@dataclass(frozen=True)
class TestedHalf:
    """All features that were tested on some texts, by pooling.

    Attributes:
        columns: which of the pooled features, int64 [k].
        areas: for the first set, [poolings, k].
        p: two-sided, [poolings, k].
        q: corrected together, [poolings, k].
    """

    columns: NDArray[np.int64]
    areas: Numbers
    p: Numbers
    q: Numbers


def half_of(texts: PooledTexts, used: Mask) -> TestedHalf:
    """Test every feature that fires on enough of some texts.

    Args:
        texts: pooled.
        used: which of them are looked at, bool [n].
    """
    enough = (texts.maxima[used] > 0).sum(axis=0) >= max(3, _FIRES * int(used.sum()))
    columns, first = np.flatnonzero(enough), texts.first[used]
    pooled = [values[used][:, columns] for values in (texts.maxima, texts.means)]
    p_values = np.array([two_sided(values, first) for values in pooled])
    return TestedHalf(
        columns,
        np.array([auroc(values, first) for values in pooled]),
        p_values,
        benjamini_hochberg(p_values.ravel()).reshape(p_values.shape),
    )


def two_sided(values: Numbers, wanted: Mask) -> Numbers:
    """Two-sided p-values of columns [n, k]: exact where texts are few and it can matter."""
    p_values = screened(values, wanted)
    if len(wanted) <= MOST_EXACT:
        for column in np.flatnonzero(p_values < _LIKELY).tolist():
            one = values[:, column]
            tails = (mann_whitney(one, wanted), mann_whitney(-one, wanted))
            p_values[column] = min(1.0, 2 * min(tails))
    return p_values


def held_out_texts(first: Mask, seed: int, groups: Sequence[str] = ()) -> Mask:
    """Which texts are held out: of each set half, at random, or about half of the groups.

    Args:
        first: which texts are of the first set, bool [n].
        seed: of the draw.
        groups: of each text, empty for one that has none; without any, texts are drawn.

    Raises:
        ContrastError: a set has too few texts, or there are too few groups.
    """
    _check_texts(first)
    if any(groups):
        return _grouped_halves(first, groups, seed)
    rng, held = np.random.default_rng(seed), np.zeros(len(first), dtype=bool)
    for group in (first, ~first):
        places = np.flatnonzero(group)
        held[rng.permutation(places)[: len(places) // 2]] = True
    return held


def _check_texts(first: Mask) -> None:
    fewest = min(int(first.sum()), int((~first).sum()))
    if fewest < FEWEST_TEXTS:
        raise ContrastError(
            f"A contrast needs at least {FEWEST_TEXTS} texts of each set: half of them choose "
            f"features, the others test them; one set has {fewest}."
        )


def _grouped_halves(first: Mask, groups: Sequence[str], seed: int) -> Mask:
    """Which texts are held out: whole groups, in random order, always into the smaller half."""
    alone = [group or f"\0{number}" for number, group in enumerate(groups)]
    names, of_text = np.unique(alone, return_inverse=True)
    held = np.zeros(len(first), dtype=bool)
    sizes = [0, 0]
    for group in np.random.default_rng(seed).permutation(len(names)):
        members, half = of_text == group, int(sizes[1] < sizes[0])
        held[members] = bool(half)
        sizes[half] += int(members.sum())
    for part in (held, ~held):
        for name, own in (("first", first), ("second", ~first)):
            if int((part & own).sum()) < FEWEST_TEXTS // 2:
                raise ContrastError(
                    f"{len(names)} groups of texts cannot be halved: one half would have "
                    f"{int((part & own).sum())} texts of the {name} set. Give more groups, in both "
                    "sets, or none."
                )
    return held


def _telling(
    texts: PooledTexts, held: Mask, half: TestedHalf, pooling: int, at: int
) -> TellingFeature:
    column = int(half.columns[at])
    values = (texts.maxima, texts.means)[pooling][:, column]
    area = float(half.areas[pooling, at])
    more = area >= 0.5
    towards = texts.first if more else ~texts.first
    held_areas, spread = delong(values[held, None], towards[held])
    smaller = min(int(towards[held].sum()), int((~towards[held]).sum()))
    low, high = area_interval(float(held_areas[0]), float(spread[0, 0]), smaller)
    own, other = (values[~held & group] for group in (texts.first, ~texts.first))
    deviation = math.sqrt((own.var(ddof=1) + other.var(ddof=1)) / 2)
    return TellingFeature(
        feature=int(texts.features[column]),
        pooling=POOLINGS[pooling],
        more=more,
        area=area if more else 1 - area,
        difference=float(own.mean() - other.mean()) / deviation if deviation else 0.0,
        p=float(half.p[pooling, at]),
        q=float(half.q[pooling, at]),
        held_out=float(held_areas[0]),
        low=low,
        high=high,
        mean_first=float(values[texts.first].mean()),
        mean_second=float(values[~texts.first].mean()),
    )


def _probe(
    texts: PooledTexts, held: Mask, rows: tuple[TellingFeature, ...], seed: int
) -> ProbeBeside:
    probe = fit_probe(texts.raw[~held], texts.first[~held], seed)
    scores = [probe.scores(texts.raw[held])]
    if rows:
        best = rows[0]
        values = texts.maxima if best.pooling == POOLINGS[0] else texts.means
        own = values[held, int(np.searchsorted(texts.features, best.feature))]
        scores.append(own if best.more else -own)
    areas, spread = delong(np.stack(scores, axis=1), texts.first[held])
    smaller = min(int(texts.first[held].sum()), int((~texts.first[held]).sum()))
    low, high = area_interval(float(areas[0]), float(spread[0, 0]), smaller)
    ahead = half = math.nan
    if rows:
        ahead = float(areas[0] - areas[1])
        half = _Z * math.sqrt(max(0.0, float(spread[0, 0] + spread[1, 1] - 2 * spread[0, 1])))
    return ProbeBeside(float(areas[0]), low, high, probe.penalty, ahead, ahead - half, ahead + half)


_NAMED = ("feature", "pooling", "more")  # of a feature; all others are numbers
_AHEAD = ("ahead", "ahead_low", "ahead_high")


def _feature_of(row: Mapping[str, Any]) -> TellingFeature:
    figures = {
        field.name: _finite(row[field.name])
        for field in fields(TellingFeature)
        if field.name not in _NAMED
    }
    if row["pooling"] not in POOLINGS or not isinstance(row["more"], bool):
        raise ValueError("no feature that was tested")
    return TellingFeature(
        feature=int(row["feature"]), pooling=row["pooling"], more=row["more"], **figures
    )


def _probe_of(row: Mapping[str, Any], beside: bool) -> ProbeBeside:
    """A probe; `beside`: a feature, without which nothing is ahead of anything."""
    return ProbeBeside(
        **{
            field.name: math.nan
            if field.name in _AHEAD and not beside
            else _finite(row[field.name])
            for field in fields(ProbeBeside)
        }
    )


def _finite(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError("not finite")
    return number
