"""Cross-layer transcoders, of all blocks at once, by a BatchTopK over their features together."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional
from typing_extensions import override

from sae_core.dictionaries.cross_layer import CrossLayerTranscoder
from sae_core.dictionaries.dictionary import Dictionary, Output
from sae_core.errors import TrainingError
from sae_core.training.method import Redirect, StepResult, linear_map
from sae_core.training.methods.batchtopk import BatchTopK
from sae_core.training.sparse.sparse import ByFeature, Codes, along, codes_of_entries, decode
from sae_core.training.topk_family import AUX_WEIGHT

_LEAST = 1e-12


class CrossLayer(BatchTopK):
    """L = E sum_m ||y_m - y_hat_m||^2 + AuxK, f = the largest of a batch over all blocks.

    Features of block l read x_l and write into y_l, y_(l+1) and so on; of n tokens the
    n * l0 * layers largest activations stay. Each block's activations are brought to unit variance
    a coordinate first, so that each counts alike, whatever the model's own scale is there.

    W_enc [d_sae, width] holds the blocks' encoders one after the other, `W_dec.l` [per layer,
    (layers - l) * width] the decoder of each; `centre`, `read_scale` and `write_scale` are what
    activations are normalised by.

    Sources: Ameisen et al. 2025, "Circuit Tracing"; Bussmann et al. 2024, "BatchTopK".
    """

    architecture = "batchtopk"
    crosses_layers = True

    @property
    def per_layer(self) -> int:
        """Features of each block."""
        return self.config.d_sae

    @property
    def width(self) -> int:
        """Of what each block reads."""
        return self.d_in // self.layers

    @property
    def written(self) -> int:
        """Width of what each block writes."""
        return self.d_out // self.layers

    @classmethod
    @override
    def check_output(cls, output: Output | None) -> None:
        if output is None or output.layers == 1 or output.skip:
            raise TrainingError("A cross-layer transcoder writes in several blocks, without skip.")

    @override
    def _begin_at_output(self, rows: Tensor, output: Output) -> None:
        p, per_layer = self.parameters, len(rows) // output.layers
        del p["W_dec"]
        for layer in range(output.layers):
            width = output.d_out - layer * (output.d_out // output.layers)
            p[f"W_dec.{layer}"] = rows.new_zeros(per_layer, width)
        p["b_dec"] = rows.new_zeros(output.d_out)
        self.state["centre"] = rows.new_zeros(self.d_in)
        self.state["read_scale"] = rows.new_ones(output.layers)
        self.state["write_scale"] = rows.new_ones(output.layers)

    @override
    @torch.no_grad()
    def align(self, batch: Tensor) -> None:
        """Set the scales, and let each feature begin to write what follows its encoder row.

        Where block l reads along a row w, block m writes w A_lm on average, with A_lm from least
        squares; as m + 1 blocks write there, each begins with its share.
        """
        p, state, layers = self.parameters, self.state, self.layers
        x, y = batch[:, : self.d_in], batch[:, self.d_in :]
        spread = (x - state["centre"]).view(len(x), layers, -1).square().mean(dim=(0, 2))
        state["read_scale"].copy_(spread.clamp_min(_LEAST).rsqrt())
        spread = (y - p["b_dec"]).view(len(y), layers, -1).square().mean(dim=(0, 2))
        state["write_scale"].copy_(spread.clamp_min(_LEAST).rsqrt())
        p["b_dec"].copy_((p["b_dec"].view(layers, -1) * state["write_scale"][:, None]).flatten())
        u, wanted = self.centred(batch)
        share = torch.arange(1, layers + 1, device=u.device).repeat_interleave(self.written)
        for layer, read in enumerate(torch.split(u, self.width, dim=1)):
            moves = linear_map(read, wanted[:, layer * self.written :])
            moves /= share[layer * self.written :]
            p[f"W_dec.{layer}"].copy_(p["W_enc"][self._own(layer)].double() @ moves)
        self.constrain()

    @override
    def ends(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        """What is read [n, d_in], and what is reconstructed, scaled block by block, [n, d_out]."""
        x, y = batch[:, : self.d_in], batch[:, self.d_in :]
        return x, _scaled(y, self.state["write_scale"])

    @override
    def centred(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        x, y = self.ends(batch)
        u = _scaled(x - self.state["centre"], self.state["read_scale"])
        return u, y - self.parameters["b_dec"]

    @override
    def pre_activations(self, u: Tensor, bias: Tensor | None = None) -> Tensor:
        """Of encoder inputs u [n, d_in]: [n, d_sae], bfloat16 where `rough`.

        One product a block, straight into its place: a batched product takes eight times as long
        on a CPU. In bfloat16 the next call writes over the result.
        """
        rows, dtype = self.parameters["W_enc"], u.dtype
        bias = self.parameters["b_enc"] if bias is None else bias
        pre = self._rough_pre
        if self._rough_rows is not None:
            rows, dtype = self._rough_rows.copy_(rows), torch.bfloat16
        if pre is None or pre.shape != (len(u), self.d_sae):
            pre = torch.empty(len(u), self.d_sae, dtype=dtype, device=u.device)
            self._rough_pre = pre if self.rough else None
        for layer, read in enumerate(torch.split(u.to(dtype), self.width, dim=1)):
            own = self._own(layer)
            torch.mm(read, rows[own].T, out=pre[:, own])
        return pre.add_(bias.to(dtype))

    @override
    def activations(self, x: Tensor) -> Tensor:
        return self.activate(self._dense_pre(x))

    @override
    def loss(self, x: Tensor, weight: float) -> Tensor:
        p, (_, y) = self.parameters, self.ends(x)
        pre = self._dense_pre(x)
        acts = torch.split(self.activate(pre), self.per_layer, dim=1)
        y_hat = p["b_dec"] + self._written_by(acts)
        total = (y - y_hat).pow(2).sum(dim=-1).mean()
        error, dead = (y - y_hat).detach(), torch.split(self.dead, self.per_layer)
        for layer, silent in enumerate(dead):
            if not bool(silent.any()):
                continue
            own = pre[:, self._own(layer)][:, silent]
            e_hat = self._auxiliary(own) @ p[f"W_dec.{layer}"][silent]
            rest = error[:, layer * self.written :]
            total = total + AUX_WEIGHT * (rest - e_hat).pow(2).sum(dim=-1).mean()
        return total

    @override
    @torch.no_grad()
    def step(self, x: Tensor, weight: float, redirect: Redirect | None = None) -> StepResult:
        p, n = self.parameters, len(x)
        # Forward: each block's firings are added to what it and the later ones write.
        u, wanted = self.centred(x)
        pre = self.pre_activations(u)
        chosen = self.choose(pre)
        residual = wanted.neg()
        blocks = self._by_block(chosen, n)
        for layer, codes in enumerate(blocks):
            residual[:, layer * self.written :] += decode(codes, p[f"W_dec.{layer}"])
        error = torch.linalg.vector_norm(residual).pow(2) / n
        # Backward, at the entries that fire alone.
        loss, gradient = error, residual * (2 / n)
        gradients = {"W_enc": torch.empty_like(p["W_enc"]), "b_enc": torch.empty_like(p["b_enc"])}
        gradients["b_dec"] = gradient.sum(dim=0)
        dead = torch.split(self.dead, self.per_layer)
        for layer, codes in enumerate(blocks):
            own, name = self._own(layer), f"W_dec.{layer}"
            read = u[:, layer * self.width : (layer + 1) * self.width].contiguous()
            bags = gradient[:, layer * self.written :].contiguous()
            entries = along(codes, bags, p[name]).mul_(codes.values > 0)
            features = ByFeature(codes, self.per_layer)
            gradients["W_enc"][own] = features.sums_of_rows(entries, read)
            gradients["b_enc"][own] = features.sums(entries)
            gradients[name] = features.sums_of_bags(codes.values, bags)
            silent = dead[layer].nonzero()[:, 0]
            if len(silent):
                loss = loss + self._revive_block(layer, read, pre, -residual, silent, gradients)
        active = chosen.values > 0
        fired = torch.zeros(self.d_sae, dtype=torch.bool, device=x.device)
        fired[chosen.features[active]] = True
        return StepResult(gradients, loss, error, active.sum() / n, fired)

    def _revive_block(
        self,
        layer: int,
        read: Tensor,
        pre: Tensor,
        error: Tensor,
        dead: Tensor,
        gradients: dict[str, Tensor],
    ) -> Tensor:
        """The AuxK loss of a block's dead features; adds its gradients to those of the block."""
        own, name = self._own(layer), f"W_dec.{layer}"
        rows = self.parameters[name][dead]
        acts = self._auxiliary(pre[:, own][:, dead])
        missed = self.dense(acts, rows).sub_(error[:, layer * self.written :])
        gradient = missed * (2 * AUX_WEIGHT / len(read))
        entries = self.dense(gradient, rows.T).mul_(acts > 0)
        gradients[name][dead] += self.dense(acts.T, gradient)
        gradients["W_enc"][own][dead] += self.dense(entries.T, read)
        gradients["b_enc"][own][dead] += entries.sum(dim=0)
        loss: Tensor = torch.linalg.vector_norm(missed).pow(2) * (AUX_WEIGHT / len(read))
        return loss

    @override
    def constrain_gradients(self, gradients: dict[str, Tensor]) -> None:
        for name, rows in self._decoders():
            parallel = (gradients[name] * rows).sum(dim=-1, keepdim=True)
            gradients[name].addcmul_(parallel, rows, value=-1.0)

    @override
    def constrain(self) -> None:
        for _, rows in self._decoders():
            rows.div_(torch.linalg.vector_norm(rows, dim=-1, keepdim=True).clamp_min_(_LEAST))

    @override
    @torch.no_grad()
    def finished(self, hook_point: str, scale: float, shift: Tensor) -> Dictionary:
        """In model units, decoder rows over all blocks of length 1; it still reads u."""
        p, output = self.parameters, self.output
        assert output is not None
        clt = CrossLayerTranscoder(hook_point, self.d_in, self.d_sae, output)
        clt.to(p["b_dec"].device, p["b_dec"].dtype).requires_grad_(False).eval()
        write = self.state["write_scale"] * scale
        for layer, (_, rows) in enumerate(self._decoders()):
            own = self._own(layer)
            moved = rows.view(self.per_layer, -1, self.written) / write[layer:, None]
            lengths = torch.linalg.vector_norm(moved, dim=(1, 2)).clamp_min(_LEAST)
            clt.decoders[layer].copy_(moved / lengths[:, None, None])
            stretch = lengths * self.state["read_scale"][layer] * scale
            clt.encoders[layer].copy_((p["W_enc"][own] * stretch[:, None]).T)
            clt.b_enc[own] = p["b_enc"][own] * lengths
            clt.threshold[own] = float(self.state["threshold"]) * lengths
        clt.b_dec.copy_((p["b_dec"].view(self.layers, -1) / write[:, None]).flatten() + shift)
        return clt

    @override
    @torch.no_grad()
    def fold_input(self, dictionary: Dictionary, stretch: float, shift: Tensor) -> None:
        assert isinstance(dictionary, CrossLayerTranscoder)
        dictionary.encoders.mul_(stretch)
        shifts = shift.view(self.layers, 1, -1)
        dictionary.b_enc.sub_((shifts @ dictionary.encoders).flatten())

    def _dense_pre(self, x: Tensor) -> Tensor:
        """Pre-activations of rows [n, width], differentiable, [n, d_sae]."""
        p, u = self.parameters, self.centred(x)[0]
        parts = [
            read @ p["W_enc"][self._own(layer)].T
            for layer, read in enumerate(torch.split(u, self.width, dim=1))
        ]
        return torch.cat(parts, dim=1) + p["b_enc"]

    def _written_by(self, acts: Sequence[Tensor]) -> Tensor:
        """What each block's activations [n, per layer] write, in one sum [n, d_out]."""
        total = acts[0].new_zeros(len(acts[0]), self.d_out)
        for layer, (_, rows) in enumerate(self._decoders()):
            write = functional.pad(acts[layer] @ rows, (layer * self.written, 0))
            total = total + write
        return total

    def _own(self, layer: int) -> slice:
        """A block's features among all."""
        return slice(layer * self.per_layer, (layer + 1) * self.per_layer)

    def _decoders(self) -> list[tuple[str, Tensor]]:
        """The decoder of each block by its parameter's name, [per layer, width] each."""
        names = [f"W_dec.{layer}" for layer in range(self.layers)]
        return [(name, self.parameters[name]) for name in names]

    def _by_block(self, codes: Codes, n: int) -> list[Codes]:
        """The firings of each block's features, numbered within the block."""
        blocks = codes.features // self.per_layer
        counts = torch.bincount(blocks, minlength=self.layers).tolist()
        order = blocks.to(torch.int16).sort(stable=True).indices  # small integers sort faster
        columns = (codes.rows, codes.features % self.per_layer, codes.values)
        split = [torch.split(column.index_select(0, order), counts) for column in columns]
        return [
            codes_of_entries(rows, features, values, n)
            for rows, features, values in zip(*split, strict=True)
        ]


def _scaled(x: Tensor, scale: Tensor) -> Tensor:
    """Activations of all blocks side by side [n, d], each block's by its scale [layers]."""
    return (x.view(len(x), len(scale), -1) * scale[:, None]).flatten(1)
