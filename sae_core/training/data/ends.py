"""Where a dictionary that is to be trained reads, and what it reconstructs."""

from __future__ import annotations

from sae_core.dictionaries.dictionary import Output
from sae_core.dictionaries.places import Places, check_order
from sae_core.errors import TrainingError
from sae_core.language_model.hook_point import in_every_block
from sae_core.language_model.model import LanguageModel


def output_at(
    model: LanguageModel, hook_point: str, output_hook_point: str | None = None, skip: bool = False
) -> Output | None:
    """What a dictionary that reads at `hook_point` reconstructs; None: the same activation.

    Args:
        model: whose hook points they are.
        hook_point: where it reads; with `*` for the number of the block, in all of them, as a
            cross-layer transcoder does.
        output_hook_point: whose activation a transcoder reconstructs; None: that of `hook_point`.
        skip: whether a linear map of what is read is part of the reconstruction.

    Raises:
        HookPointError: the model has no such hook points, nothing can be written there, or it does
            not come of what is read.
        TrainingError: a skip connection that leads nowhere, or hook points of a cross-layer
            transcoder that are not in all blocks, or of several widths.
    """
    reads = in_every_block(hook_point, model.n_layers)
    writes = in_every_block(output_hook_point or hook_point, model.n_layers)
    if "*" in hook_point + (output_hook_point or ""):
        return _in_all_blocks(model, hook_point, reads, output_hook_point, writes, skip)
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


def _in_all_blocks(
    model: LanguageModel,
    hook_point: str,
    reads: tuple[str, ...],
    output_hook_point: str | None,
    writes: tuple[str, ...],
    skip: bool,
) -> Output:
    """What a cross-layer transcoder reconstructs: the same place of every block."""
    if output_hook_point is None or len(reads) != len(writes) or len(reads) == 1:
        raise TrainingError(
            "A cross-layer transcoder reads in every block of several and writes in every block: "
            "give both places with a * for the number, such as blocks.*.mlp.hook_in and "
            f"blocks.*.hook_mlp_out, not {hook_point} and {output_hook_point or 'none'} of a model "
            f"with {model.n_layers} {'block' if model.n_layers == 1 else 'blocks'}."
        )
    if skip:
        raise TrainingError("Cross-layer transcoders are trained without a skip connection here.")
    ends = [
        Places(model.hook_point(read), model.write_point(write))
        for read, write in zip(reads, writes, strict=True)
    ]
    for places in ends:
        check_order(model, places)
    if len({(places.read.d_in, places.write.d_in) for places in ends}) > 1:
        raise TrainingError(
            f"{hook_point} or {output_hook_point} is not of one width in all blocks: a cross-layer "
            "transcoder needs that."
        )
    width = sum(places.write.d_in for places in ends)
    return Output(output_hook_point, width, layers=len(ends))
