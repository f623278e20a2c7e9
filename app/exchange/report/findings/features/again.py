"""A feature's figures once more: activations and logit weights from the weights, what needs all of
the text from another harvest of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from app.exchange.report.bench import CannotRecompute, RecomputingBench
from app.exchange.report.comparison import NearFigure, NotHere
from app.exchange.report.findings.features.parts import FeatureFound, FiringContext, WrittenToken
from app.exchange.report.findings.named import plain_text
from app.exchange.report.schema import DictionaryFacts
from app.rendering.tokens import visible
from app.store.types.catalogue import FeatureView
from sae_core.dictionaries.dictionary import Dictionary
from sae_core.dictionaries.screening import screened
from sae_core.harvest.logit_weights import logit_weights
from sae_core.harvest.recomputation import TOLERANCE
from sae_core.harvest.records import WindowRecord
from sae_core.language_model.model import LanguageModel
from sae_core.language_model.vocabulary import Vocabulary

_ROUNDED = "float32 sums are rounded in another order on other hardware"
_BORDER = "a token at the threshold can fire on other hardware and not here"


def feature_again(
    facts: DictionaryFacts, index: int, found: FeatureFound, bench: RecomputingBench
) -> dict[str, Any]:
    """A report's figures of a feature, computed again.

    Args:
        facts: of its dictionary.
        index: its number there.
        found: what the report says: tokens of its contexts are what is computed on.
        bench: to compute with.

    Raises:
        CannotRecompute: the dictionary is not here.
    """
    view, vocabulary = bench.view(facts), bench.vocabulary(facts)
    if not 0 <= index < view.d_sae:
        raise CannotRecompute(f"{facts.title} has no feature {index} here")
    model, dictionary = bench.loaded(facts)
    acts = _activations(model, dictionary, index, found.contexts)
    strongest = max((row.max(initial=0.0) for row in acts if row is not None), default=0.0)
    scale = max(found.maximum, float(strongest))
    here: dict[str, Any] = {
        "raised": _written(model, dictionary, index, found.raised, vocabulary, 1),
        "lowered": _written(model, dictionary, index, found.lowered, vocabulary, -1),
    }
    other = bench.same_text(facts)
    harvested = None if other else bench.store.feature(view, index)
    if harvested is None:
        here["maximum"] = NearFigure(float(strongest), TOLERANCE * scale, _ROUNDED)
        here |= {name: NotHere(other) for name in ("firings", "density", "interval")}
    else:
        here |= _counted(harvested)
    here["contexts"] = [
        _context(context, row, harvested, vocabulary, scale, other)
        for context, row in zip(found.contexts, acts, strict=True)
    ]
    return here


@torch.inference_mode()
def _activations(
    model: LanguageModel, dictionary: Dictionary, index: int, contexts: tuple[FiringContext, ...]
) -> list[NDArray[np.float64] | None]:
    """The feature's activation at every position of each context, 0 on special tokens; None where
    the model has no such tokens."""
    hook_point = model.hook_point(dictionary.hook_point, dictionary.d_in)
    encoder = screened(dictionary)
    rows: list[NDArray[np.float64] | None] = []
    for context in contexts:
        if not all(0 <= token < len(model.vocabulary.pieces) for token in context.tokens):
            rows.append(None)
            continue
        tokens = np.array(context.tokens, dtype=np.int64)
        x = model.capture(torch.from_numpy(tokens)[None].to(model.device), hook_point)[0]
        firings = encoder.encode_sparse(x)
        own = firings.features == index
        acts = np.zeros(len(tokens))
        acts[firings.rows[own].cpu().numpy()] = firings.values[own].double().cpu().numpy()
        acts[model.vocabulary.is_special[tokens]] = 0.0
        rows.append(acts)
    return rows


def _written(
    model: LanguageModel,
    dictionary: Dictionary,
    index: int,
    reported: tuple[WrittenToken, ...],
    vocabulary: Vocabulary,
    sign: int,
) -> list[dict[str, Any]]:
    """The tokens raised (sign 1) or lowered (-1) most; of two as good as equal the reported one."""
    every = logit_weights(model, dictionary, slice(index, index + 1))[0].double().cpu().numpy()
    within = TOLERANCE * float(np.abs(every).max())
    order = np.argsort(-sign * every, kind="stable")[: len(reported)].tolist()
    rows: list[dict[str, Any]] = []
    taken: set[int] = set()
    for best, token in zip(order, reported, strict=True):
        as_good = (
            0 <= token.token < len(every)
            and token.token not in taken
            and abs(every[token.token] - every[best]) <= within
        )
        chosen = token.token if as_good else best
        taken.add(chosen)
        rows.append(
            {
                "token": chosen,
                "text": visible(vocabulary.pieces[chosen]),
                "weight": NearFigure(float(every[chosen]), within, _ROUNDED),
            }
        )
    return rows


def _counted(harvested: FeatureView) -> dict[str, Any]:
    """Figures that need all of the text: those of the harvest of this store."""
    record = harvested.record
    near = TOLERANCE * record.firings
    density, interval = harvested.density, record.density_interval
    return {
        "firings": NearFigure(record.firings, near, _BORDER),
        "density": NearFigure(density, TOLERANCE * density, _BORDER),
        "interval": interval
        and [NearFigure(end, TOLERANCE * max(interval), _BORDER) for end in interval],
        "maximum": NearFigure(record.maximum, TOLERANCE * record.maximum, _ROUNDED),
    }


def _context(
    reported: FiringContext,
    acts: NDArray[np.float64] | None,
    harvested: FeatureView | None,
    vocabulary: Vocabulary,
    scale: float,
    other: str,
) -> dict[str, Any]:
    within = TOLERANCE * scale
    here: dict[str, Any] = dict.fromkeys(
        ("texts", "activations"), NotHere("the model has no such tokens")
    )
    if acts is not None:
        here = {
            "texts": [visible(vocabulary.pieces[token]) for token in reported.tokens],
            "activations": {
                str(place): NearFigure(float(acts[place]), within, _ROUNDED)
                for place in range(len(acts))
                if str(place) in reported.activations or acts[place] > within
            },
        }
    unknown = NotHere(other or "this store's harvest drew other contexts")
    window = None if harvested is None else harvested.windows.get(reported.window)
    placed = None if harvested is None else _place(harvested, reported)
    if window is None or placed is None:
        names = ("group", "window", "document", "line", "tokens", "peak")
        return here | dict.fromkeys(names, unknown)
    return here | _of_window(window) | placed


def _of_window(window: WindowRecord) -> dict[str, Any]:
    return {
        "window": window.number,
        "document": plain_text(window.document),
        "line": window.line,
        "tokens": window.tokens.tolist(),
    }


def _place(harvested: FeatureView, reported: FiringContext) -> dict[str, Any] | None:
    """In which group a window stands, and for which firing; None: in none."""
    drawn = [
        (group.key, int(peak))
        for group in harvested.record.groups
        for number, peak in zip(group.examples.windows, group.examples.peaks, strict=True)
        if number == reported.window
    ]
    if not drawn:
        return None
    asked = (reported.group, reported.peak)
    group, peak = asked if asked in drawn else drawn[0]
    return {"group": group, "peak": peak}
