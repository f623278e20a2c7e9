"""Checks before a harvest: does this dictionary fit this model, and if not, what would?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sae_core.dictionaries.dictionary import Dictionary
from sae_core.dictionaries.places import places_of
from sae_core.errors import HookPointError
from sae_core.harvest.fit_check import (
    FOLDED_NORM,
    Fit,
    Tried,
    Variant,
    alternatives,
    first_tokens,
    fit,
    fitting_hook_points,
    text_activations,
    variant_of,
    varied,
)
from sae_core.harvest.harvest import HarvestPlan
from sae_core.language_model.model import LanguageModel

LOOKED_AT = 4096  # tokens
POOR_FVU = 0.5
DOUBTFUL_FVU = 0.3  # above it another use is looked for, though nothing else looks wrong
BETTER = 0.5  # of the unexplained variance: what a remedy must leave at most
DENSE_SHARE = 0.5
SILENT_SHARE = 0.9
_EXPECTED_FIRINGS = 20


@dataclass(frozen=True)
class Findings:
    """What a look at a few thousand tokens says.

    Attributes:
        fit: the figures.
        warnings: what looks wrong, a sentence each; empty: nothing.
        remedy: the best other use of the weights, where something is wrong and it does better.
    """

    fit: Fit
    warnings: tuple[str, ...]
    remedy: Tried | None


def check_width(model: LanguageModel, dictionary: Dictionary) -> None:
    """Refuse a dictionary whose hook point the model lacks, or has with another width.

    Raises:
        HookPointError: naming the hook points that would fit.
    """
    try:
        places_of(model, dictionary)
    except HookPointError as error:
        if dictionary.is_transcoder:
            raise
        kinds = fitting_hook_points(model, dictionary.d_in)
        if kinds:
            hint = f"Name one with --hook-point: {', '.join(kinds)} are {dictionary.d_in} wide"
            hint += f" (N from 0 to {model.n_layers - 1})." if model.n_layers > 1 else " (N is 0)."
        else:
            hint = (
                f"No hook point of {model.name} is {dictionary.d_in} wide (its residual stream is "
                f"{model.d_model}): this dictionary was made for another model."
            )
        raise HookPointError(f"{error} {hint}") from error


def look(model: LanguageModel, dictionary: Dictionary, plan: HarvestPlan) -> Findings:
    """Try a dictionary on the first tokens of a harvest and say what looks wrong."""
    sample = first_tokens(model, plan, LOOKED_AT)
    figures = fit(dictionary, text_activations(model, variant_of(dictionary), sample))
    warnings = list(_warnings(figures, dictionary))
    if not warnings and not figures.fvu > DOUBTFUL_FVU:
        return Findings(figures, (), None)
    best = next(iter(alternatives(model, dictionary, sample)), None)
    # Half of what is unexplained may still be far worse than nothing: good it must be, too.
    if best is not None and not best.fit.fvu <= min(BETTER * figures.fvu, POOR_FVU):
        best = None
    if best is not None and not warnings:
        warnings.append(
            f"It explains {_percent(figures.explained)} of the variance, which is little"
        )
        warnings[-1] += " beside what another use of it explains."
    return Findings(figures, tuple(warnings), best)


def compared(
    model: LanguageModel, dictionary: Dictionary, plan: HarvestPlan, norm: str
) -> tuple[Fit, Fit]:
    """How a dictionary does as it stands, and with another normalisation of its input."""
    sample = first_tokens(model, plan, LOOKED_AT)
    now = variant_of(dictionary)
    x = text_activations(model, now, sample)
    other = varied(dictionary, replace(now, norm=norm), x.read)
    return fit(dictionary, x), fit(other, x)


def assumption_sentence(fits: tuple[Fit, Fit], norms: tuple[str, str]) -> str:
    """Which of two normalisations, neither of which the files rule out, explains more."""
    as_assumed, other = fits
    text = (
        f"The files leave open what is done to the input: {norms[0]} is assumed and explains "
        f"{_percent(as_assumed.explained)}, {norms[1]} explains {_percent(other.explained)}"
    )
    better = other.fvu < as_assumed.fvu
    return f"{text}: give --normalise {norms[1]}." if better else f"{text}."


def _warnings(figures: Fit, dictionary: Dictionary) -> Sequence[str]:
    """What looks wrong, in plain words."""
    warnings: list[str] = []
    if not figures.fvu <= POOR_FVU:
        warnings.append(
            f"It explains {_percent(figures.explained)} of the variance: is this the right layer, "
            "or is an input normalisation missing?"
            if figures.explained > 0
            else "Its reconstruction is worse than the mean activation "
            f"(FVU {figures.fvu:.3g}): is this the right layer, or is an input normalisation "
            "missing?"
        )
    if figures.l0 < 1:
        warnings.append(
            f"Only {figures.l0:.2g} features fire on a token: most tokens are said to be nothing."
        )
    elif figures.l0 > DENSE_SHARE * dictionary.d_sae:
        warnings.append(
            f"{figures.l0:,.0f} of {dictionary.d_sae:,} features fire on a token: that is not "
            "sparse."
        )
    expected = figures.l0 * figures.n_tokens / dictionary.d_sae
    if figures.silent_share > SILENT_SHARE and expected > _EXPECTED_FIRINGS:
        warnings.append(
            f"{_percent(figures.silent_share)} of its features fire on none of "
            f"{figures.n_tokens:,} tokens."
        )
    return warnings


def remedy_options(now: Variant, then: Variant) -> str:
    """The options of `add` that make a dictionary another variant."""
    options = []
    if now.hook_point != then.hook_point:
        options.append(f"--hook-point {then.hook_point}")
    if now.subtracts != then.subtracts:
        options.append(f"--subtract-b-dec {'yes' if then.subtracts else 'no'}")
    if now.norm != then.norm:
        options.append(f"--normalise {then.norm}")
    if now.output != then.output:
        options.append(f"--output-hook-point {then.output}")
    if then.turned:
        options.append("--turn-skip")
    return " ".join(options)


def no_remedy_sentence(dictionary: Dictionary) -> str:
    """What was tried in vain."""
    if dictionary.is_transcoder:
        return (
            "No other layer, input or skip connection the other way round that was tried does "
            "much better."
        )
    return "No other layer, normalisation or use of b_dec tried does much better."


def remedy_sentence(dictionary: Dictionary, tried: Tried) -> str:
    """What to do instead."""
    now, then = variant_of(dictionary), tried.variant
    ways = []
    if now.hook_point != then.hook_point:
        ways.append(f"at {then.hook_point}")
    if now.output != then.output:
        ways.append(f"writing at {then.output}")
    if then.turned:
        ways.append("with its skip connection transposed")
    if now.subtracts != then.subtracts:
        ways.append(f"{'with' if then.subtracts else 'without'} b_dec taken off its input")
    if now.norm != then.norm:
        ways.append(_NORM_WORDS[then.norm])
    return (
        f"Used {', '.join(ways)} it explains {_percent(tried.fit.explained)} at L0 "
        f"{tried.fit.l0:.3g}: give {remedy_options(now, then)}."
    )


_NORM_WORDS = {
    "none": "without normalising its input",
    FOLDED_NORM: "with its input scaled to a mean norm of sqrt(d_in)",
    "layer_norm": "with each input centred and scaled to unit variance",
    "constant_norm_rescale": "with each input scaled to the norm sqrt(d_in)",
    "centred": "with each input centred over d_model",
}


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if abs(share) < 0.995 or share >= 1 else f"{100 * share:.1f} %"
