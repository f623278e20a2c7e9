"""Which part of the loss effect each activation band carries: do low activations matter?

Definition. Bands are those of a feature's page: band b of eleven holds the firings with
`b * m_f / 11 < a <= (b + 1) * m_f / 11`, where m_f is the feature's largest activation on the
evaluated text. L_b is the loss with x replaced by the reconstruction from the firings of band b and
above alone, `x_hat` less the sum of a_f d_f over a_f <= b * m_f / 11; nothing takes the place of
what is left out. So L_0 = L_recon, and L_11 is the loss where no feature fires, with the decoder's
bias alone. Band b carries the share

    (L_{b+1} - L_b) / (L_11 - L_0):

the bands are taken away from the weakest up, the shares add up to 1, and that of band 0 is what the
lowest activations alone contribute while all others are there.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from sae_core.dictionaries.dictionary import Firings
from sae_core.harvest.records import N_BANDS


def bands_of(firings: Firings, maxima: Tensor) -> Tensor:
    """The band of each firing, int64 [n], by the same comparisons as `sampling.band_edges` makes.

    Args:
        firings: the n firings to sort into bands.
        maxima: each feature's largest activation, [d_sae].
    """
    step = maxima.double()[firings.features] / N_BANDS
    values = firings.values.double()
    # The quotient says which band up to rounding; comparing with the edges decides.
    band = (values / step).ceil() - 1
    band = torch.where(band * step >= values, band - 1, band)
    band = torch.where((band + 1) * step < values, band + 1, band)
    return band.clamp_(0, N_BANDS - 1).long()


def from_band_up(firings: Firings, bands: Tensor, lowest: int) -> Firings:
    """The firings in band `lowest` or a higher one, given each firing's band, int64 [n]."""
    kept = bands >= lowest
    columns = {name: getattr(firings, name)[kept] for name in ("rows", "features", "values")}
    return replace(firings, **columns)
