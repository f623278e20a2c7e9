"""Where a dictionary that is to be trained reads, and what it reconstructs."""

from __future__ import annotations

from sae_core.dictionaries.dictionary import Output
from sae_core.dictionaries.places import Places, check_order
from sae_core.errors import TrainingError
from sae_core.language_model.model import LanguageModel


def output_at(
    model: LanguageModel, hook_point: str, output_hook_point: str | None = None, skip: bool = False
) -> Output | None:
    """What a dictionary that reads at `hook_point` reconstructs; None: the same activation.

    Args:
        model: whose hook points they are.
        hook_point: where it reads.
        output_hook_point: whose activation a transcoder reconstructs; None: that of `hook_point`.
        skip: whether a linear map of what is read is part of the reconstruction.

    Raises:
        HookPointError: the model has no such hook points, nothing can be written there, or it does
            not come of what is read.
        TrainingError: a skip connection that leads nowhere.
    """
    read = model.hook_point(hook_point)
    if output_hook_point is None:
        if skip:
            raise TrainingError(
                "A skip connection leads from one hook point to another: give an output hook point "
                "as well, or leave it out."
            )
        model.write_point(hook_point)
        return None
    write = model.write_point(output_hook_point)
    check_order(model, Places(read, write))
    return Output(output_hook_point, write.d_in, skip)
