"""Where in a language model a dictionary reads and writes."""

from __future__ import annotations

from dataclasses import dataclass

from sae_core.dictionaries.dictionary import Dictionary
from sae_core.language_model.hook_point import HookPoint
from sae_core.language_model.model import LanguageModel


@dataclass(frozen=True)
class Places:
    """The hook points of one dictionary in one model; the same but for a transcoder.

    Attributes:
        read: whose activation is encoded.
        write: whose activation is reconstructed, and from which a feature is taken out.
    """

    read: HookPoint
    write: HookPoint


def places_of(model: LanguageModel, dictionary: Dictionary) -> Places:
    """Where a dictionary reads and writes in this model.

    Raises:
        HookPointError: the model has no such hook points, their widths are others, or nothing can
            be written there.
    """
    return Places(
        model.hook_point(dictionary.hook_point, dictionary.d_in),
        model.write_point(dictionary.output_hook_point, dictionary.d_out),
    )
