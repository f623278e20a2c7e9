"""What one layer of a cross-layer transcoder writes behind its own block, taken out as well.

Its features write into several blocks. Where one is removed from the activation of its own block,
y - a_f d_f, the forward pass that goes on from there has to lack a_f d_f,m in the m-th block behind
it, too, with a_f as it was read: what those blocks themselves make of the change stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

from torch import Tensor

from sae_core.dictionaries.places import Places
from sae_core.language_model.model import LanguageModel


@contextmanager
def without_later(
    model: LanguageModel, places: Places, written: Callable[[int], Tensor]
) -> Iterator[None]:
    """Within the block forward passes lack what features write in later blocks.

    Args:
        model: that is run.
        places: where the features are read and write.
        written: what is taken out at one of `places.later`, by its number there, [batch, pos,
            d_out]; asked for in each pass. Passes may be over fewer positions or over more: both
            end at the same one, and before these positions nothing is taken out.
    """
    with ExitStack() as stack:
        for number, point in enumerate(places.later):
            edit = partial(_less, partial(written, number))
            stack.enter_context(model.replaced(point, edit))
        yield


def _less(written: Callable[[], Tensor], y: Tensor) -> Tensor:
    """y [batch, pos, d_out] less what is taken out at its last positions."""
    gone = written()
    n = min(y.shape[1], gone.shape[1])
    less = y.clone()
    less[:, -n:] = (y[:, -n:] - gone[:, -n:]).to(y.dtype)
    return less
