"""The layers of a cross-layer transcoder as dictionaries of their own."""

from __future__ import annotations

import torch

from sae_core.dictionaries.architectures.jumprelu import JumpReLUDictionary
from sae_core.dictionaries.cross_layer import CrossLayerTranscoder
from sae_core.dictionaries.dictionary import Dictionary, Output


def layers_of(clt: CrossLayerTranscoder) -> list[Dictionary]:
    """Its layers in order; each writes into its own block and into all later ones."""
    n, width = clt.layers, clt.d_out // clt.layers
    layers: list[Dictionary] = []
    for layer in range(n):
        read, write = (
            name.replace("*", str(layer)) for name in (clt.hook_point, clt.output_hook_point)
        )
        output = Output(write, width, later_blocks=n - 1 - layer)
        made = JumpReLUDictionary(read, clt.d_in // n, clt.per_layer, False, output)
        own = clt.features_of(layer)
        with torch.no_grad():
            made.W_enc.copy_(clt.encoders[layer])
            made.b_enc.copy_(clt.b_enc[own])
            made.threshold.copy_(clt.threshold[own])
            made.W_dec.copy_(clt.decoders[layer][:, 0])
            made.b_dec.copy_(clt.b_dec[layer * width : (layer + 1) * width])
            for number, rows in enumerate(made.later_rows, 1):
                rows.copy_(clt.decoders[layer][:, number])
        layers.append(made.requires_grad_(False))
    return layers
