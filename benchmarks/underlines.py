"""How many underlines of a model in a short dtype are rounding, against float64.

Features of the demo's dictionary, and the coordinates of the streams before and behind its block,
are ablated on windows of Python's standard library, with the very same rounded weights, in the
short dtype and in float64. Counted are the tokens that a page would underline: from 0.005 nats on,
as before, and from three times the measured noise on.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

import numpy as np
import torch

from app.rendering.underlines import EFFECT_STEPS, Underlines
from app.settings import resource
from sae_core.dictionaries.checkpoint import load_dictionary, neuron_basis
from sae_core.dictionaries.dictionary import Dictionary
from sae_core.interventions.ablation import ablate
from sae_core.interventions.rounding import loss_noise
from sae_core.language_model.model import LanguageModel, load_model
from sae_core.text.corpus import STDLIB, open_corpus

FEATURES = 40
CONTEXTS = 12
LENGTH = 128
STREAMS = ("blocks.0.hook_resid_pre", "blocks.0.hook_resid_post")


def main() -> None:
    """Print, for each dtype and hook point, what is underlined and how much of it is right."""
    folder = resource("demo")
    for dtype in ("bfloat16", "float16"):
        short = load_model(folder / "model", dtype=dtype)
        exact = load_model(folder / "model", dtype="float64")
        exact.module.load_state_dict({k: v.double() for k, v in short.module.state_dict().items()})
        tokens, is_text = windows(short)
        trained = load_dictionary(folder / "mlp-4096", "cpu")
        for dictionary in [trained, *(neurons(short, name) for name in STREAMS)]:
            hook_point = short.hook_point(dictionary.hook_point, dictionary.d_in)
            features = chosen(short, dictionary, tokens)
            both = [changes(model, dictionary, features, tokens) for model in (short, exact)]
            # A TopK dictionary may choose another feature where activations are rounded.
            common = sorted(both[0].keys() & both[1].keys())
            rough, true = (np.array([part[at] for at in common], np.float32) for part in both)
            noise = loss_noise(short, hook_point, tokens, is_text)
            error = float(np.sqrt(np.mean((rough - true) ** 2)))
            print(
                f"{dtype}, {dictionary.architecture} at {dictionary.hook_point}: {len(true):,} "
                f"effects, off by {error:.4f} nats (r.m.s.); measured noise {noise:.4f}"
            )
            for name, underlines in (
                ("from 0.005 on", Underlines(dtype, 0.0)),
                ("from 3 noises on", Underlines(dtype, noise)),
            ):
                drawn = underlines.levels(rough) != 0
                none = np.abs(true[drawn]) < EFFECT_STEPS[0]
                wrong = np.sign(true[drawn]) != np.sign(rough[drawn])
                print(
                    f"  {name:16} {drawn.mean():6.1%} underlined; of these {none.mean():6.2%} "
                    f"should have none, {wrong.mean():6.2%} have the wrong sign"
                )


def windows(model: LanguageModel) -> tuple[torch.Tensor, torch.Tensor]:
    """A window from the middle of every hundredth document, and which tokens are text."""
    assert model.bos is not None
    rows = []
    for document in islice(open_corpus(STDLIB).documents(), 0, None, 100):
        ids = model.tokenizer.encode(document.text, add_special_tokens=False).ids
        if len(ids) > 2 * LENGTH:
            rows.append([model.bos, *ids[len(ids) // 2 :][: LENGTH - 1]])
    tokens = torch.tensor(rows[:CONTEXTS])
    return tokens, tokens != model.bos


def neurons(model: LanguageModel, name: str) -> Dictionary:
    """The activation's own coordinates as features."""
    return neuron_basis(name, model.hook_point(name).d_in)


def chosen(model: LanguageModel, dictionary: Dictionary, tokens: torch.Tensor) -> list[int]:
    """Features that fire in these windows, drawn once."""
    hook_point = model.hook_point(dictionary.hook_point, dictionary.d_in)
    x = model.capture(tokens, hook_point).float().flatten(0, 1)
    firing = torch.nonzero((dictionary.encode(x) != 0).any(dim=0))[:, 0].numpy()
    drawn = np.random.default_rng(0).choice(firing, min(FEATURES, len(firing)), replace=False)
    return sorted(int(feature) for feature in drawn)


def changes(
    model: LanguageModel, dictionary: Dictionary, features: Sequence[int], tokens: torch.Tensor
) -> dict[tuple[int, int, int], float]:
    """What ablating each feature changes, by feature, window and position."""
    return {
        (feature, window, position): change
        for feature in features
        for window, effect in enumerate(ablate(model, dictionary, feature, list(tokens)))
        for position, change in zip(
            effect.positions.tolist(), effect.loss_change.tolist(), strict=True
        )
    }


if __name__ == "__main__":
    main()
