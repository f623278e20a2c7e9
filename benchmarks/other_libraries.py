"""Folders that other libraries write, of every kind: run in an environment that has the library.

    python benchmarks/other_libraries.py saelens FOLDER

For each case a folder of the library's own making appears in FOLDER, beside it the activations and
reconstructions that the library itself then gives, in float64, and a line is printed. Nothing of
Featurescope is imported here: `benchmarks.agreement` calls this, and opens what was written.
"""

from __future__ import annotations

import argparse
import inspect
import json
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

D_IN, D_OUT, D_SAE, K, TOKENS = 64, 48, 256, 8, 512
HOOK_POINT, WRITTEN = "blocks.0.hook_resid_post", "blocks.0.hook_mlp_out"
FACTOR = 0.37


class Case(NamedTuple):
    """One folder.

    Attributes:
        kind: what it is.
        path: what a user would give.
        acts: activations [TOKENS, d_sae] in units of the model, float64.
        x_hat: reconstructions [TOKENS, d_in], of a transcoder [TOKENS, D_OUT], float64.
    """

    kind: str
    path: Path
    acts: Tensor
    x_hat: Tensor


def activations() -> Tensor:
    """Sparse sums of random directions, off centre and of many sizes, float64 [TOKENS, D_IN]."""
    draw = torch.Generator().manual_seed(0)
    directions = nn.functional.normalize(torch.randn(2 * D_IN, D_IN, generator=draw), dim=-1)
    shape = (TOKENS, len(directions))
    acts = torch.rand(shape, generator=draw) * (torch.rand(shape, generator=draw) < 0.05)
    size = torch.linspace(0.5, 8, TOKENS)[:, None]
    return (size * acts @ directions + 0.1).double()


@torch.no_grad()
def shaken(module: nn.Module) -> None:
    """Every parameter away from its first value; thresholds above 0."""
    draw = torch.Generator().manual_seed(1)
    for name, parameter in module.named_parameters():
        noise = 0.4 * torch.rand(parameter.shape, generator=draw) - 0.2
        parameter.add_((noise.abs() if "threshold" in name else noise).to(parameter.dtype))


# ---- SAELens --------------------------------------------------------------------------------


def saelens(folder: Path) -> Iterator[Case]:
    """SAELens: dictionaries of its inference classes, then what trainings leave behind."""
    from sae_lens.registry import SAE_CLASS_REGISTRY
    from sae_lens.saes.sae import SAE, SAEMetadata

    x = activations()
    for number, (architecture, option) in enumerate(_saelens_variants(list(SAE_CLASS_REGISTRY))):
        build, configure = SAE_CLASS_REGISTRY[architecture]
        heads = option.get("reshape_activations") == "hook_z"
        place = "blocks.0.attn.hook_z" if heads else HOOK_POINT
        metadata = SAEMetadata(hook_name=place, model_name="tiny", prepend_bos=True)
        if "transcoder" in architecture:
            metadata.hook_name_out = WRITTEN
        sae = build(configure(d_in=D_IN, d_sae=D_SAE, metadata=metadata, **option))
        shaken(sae)
        path = folder / f"saelens-{number}"
        sae.save_model(path)
        saved = SAE.load_from_disk(path, device="cpu").to(torch.float64)
        kind = " ".join([architecture, *(f"{key}={value}" for key, value in option.items())])
        norm = option.get("normalize_activations")
        yield _saelens_case(kind, path, saved, x, _saelens_unit(x, norm))
    yield from _saelens_trainings(folder, x)


def _saelens_variants(architectures: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    own: dict[str, dict[str, Any]] = {
        "topk": {"k": K}, "abstopk": {"k": K}, "matching_pursuit": {"max_iterations": K},
        "temporal": {"n_heads": 4, "bottleneck_factor": 8, "kval_topk": K},
    }  # fmt: skip
    for architecture in architectures:
        option = own.get(architecture, {})
        if "transcoder" in architecture:
            option = {"d_out": D_OUT, "apply_b_dec_to_input": False}
        yield architecture, option
        if architecture not in ("standard", "gated", "topk", "jumprelu"):
            continue
        for flag in (False, True):
            for norm in ("none", "layer_norm", "constant_norm_rescale"):
                yield architecture, {
                    **option, "apply_b_dec_to_input": flag, "normalize_activations": norm,
                }  # fmt: skip
        for norm in ("expected_average_only_in", "covariance_whitening"):
            yield architecture, {**option, "normalize_activations": norm}
        for dtype in ("float64", "bfloat16", "float16"):
            yield architecture, {**option, "dtype": dtype}
        yield architecture, {**option, "reshape_activations": "hook_z"}
        if architecture == "topk":
            yield architecture, {**option, "rescale_acts_by_decoder_norm": False}


def _saelens_trainings(folder: Path, x: Tensor) -> Iterator[Case]:
    """Finished trainings (scale or whitening folded in) and checkpoints of running ones."""
    from sae_lens.registry import SAE_TRAINING_CLASS_REGISTRY
    from sae_lens.saes.sae import SAE, SAEMetadata
    from sae_lens.training.activation_scaler import ActivationScaler

    own: dict[str, dict[str, Any]] = {
        "topk": {"k": K}, "batchtopk": {"k": K}, "abstopk": {"k": K},
        "matryoshka_batchtopk": {"k": K, "matryoshka_widths": [D_SAE // 4, D_SAE]},
        "matching_pursuit": {"max_iterations": K},
    }  # fmt: skip
    norms = ("none", "expected_average_only_in", "covariance_whitening")
    for architecture, (build, configure) in SAE_TRAINING_CLASS_REGISTRY.items():
        # Whitening cannot be folded into an encoder that is tied to its decoder.
        for norm in norms[:2] if architecture == "matching_pursuit" else norms:
            metadata = SAEMetadata(hook_name=HOOK_POINT, model_name="tiny")
            option = {"normalize_activations": norm, **own.get(architecture, {})}
            sae = build(configure(d_in=D_IN, d_sae=D_SAE, metadata=metadata, **option))
            shaken(sae)
            if hasattr(sae, "topk_threshold"):
                sae.topk_threshold.fill_(0.9)
            scaler = ActivationScaler()
            if norm == norms[1]:
                scaler.scaling_factor = FACTOR
            if norm == norms[2]:
                scaler.estimate_whitening(D_IN, iter(x.split(64)), TOKENS // 64)
            path = folder / f"running-{architecture}-{norm}"
            sae.save_model(path)
            scaler.save(str(path / "activation_scaler.json"))
            running = build(sae.cfg)
            running.load_state_dict(sae.state_dict())
            running = running.to(torch.float64).eval()
            acts = running.encode(scaler.scale(x))
            unit = 1 / FACTOR if norm == norms[1] else 1.0
            x_hat = scaler.unscale(running.decode(acts))
            yield Case(f"checkpoint of {architecture} {norm}", path, acts * unit, x_hat)

            path = folder / f"finished-{architecture}-{norm}"
            if scaler.scaling_factor is not None:
                sae.fold_activation_norm_scaling_factor(FACTOR)
            if (whitening := scaler.whitening) is not None:
                sae.fold_activation_whitening(
                    whitening.mean, whitening.matrix, whitening.inverse_matrix
                )
            sae.save_inference_model(path)
            saved = SAE.load_from_disk(path, device="cpu").to(torch.float64)
            yield _saelens_case(f"trained {architecture} {norm}", path, saved, x)


def _saelens_unit(x: Tensor, norm: str | None) -> Tensor:
    """What one unit of an activation is in the model's own units, [TOKENS, 1]."""
    if norm == "layer_norm":
        return x.std(-1, keepdim=True)
    if norm == "constant_norm_rescale":
        return x.norm(dim=-1, keepdim=True) / D_IN**0.5
    return torch.ones(1, 1).double()


def _saelens_case(kind: str, path: Path, sae: Any, x: Tensor, unit: Tensor | float = 1.0) -> Case:
    shaped = x.view(TOKENS, 4, -1) if sae.cfg.reshape_activations == "hook_z" else x
    if sae.cfg.architecture() == "temporal":
        shaped = x[None]
    acts = sae.encode(shaped)
    # Only their forward has the skip connection of a transcoder.
    transcodes = "transcoder" in sae.cfg.architecture()
    x_hat = (sae(shaped) if transcodes else sae.decode(acts)).reshape(TOKENS, -1)
    return Case(kind, path, acts.reshape(TOKENS, -1) * unit, x_hat)


# ---- dictionary_learning ----------------------------------------------------------------------


def dictionary_learning(folder: Path) -> Iterator[Case]:
    """dictionary_learning: every class of dictionary, as its trainers save it."""
    from dictionary_learning import dictionary as plain
    from dictionary_learning.trainers.batch_top_k import BatchTopKSAE, BatchTopKTrainer
    from dictionary_learning.trainers.gated_anneal import GatedAnnealTrainer
    from dictionary_learning.trainers.gdm import GatedSAETrainer
    from dictionary_learning.trainers.jumprelu import JumpReluTrainer
    from dictionary_learning.trainers.matryoshka_batch_top_k import (
        MatryoshkaBatchTopKSAE,
        MatryoshkaBatchTopKTrainer,
    )
    from dictionary_learning.trainers.p_anneal import PAnnealTrainer
    from dictionary_learning.trainers.standard import StandardTrainer, StandardTrainerAprilUpdate
    from dictionary_learning.trainers.top_k import AutoEncoderTopK, TopKTrainer
    from dictionary_learning.training import trainSAE

    common = {
        "steps": 20, "activation_dim": D_IN, "dict_size": D_SAE, "layer": 0, "lm_name": "tiny",
        "device": "cpu", "submodule_name": "resid_post_layer_0", "seed": 0,
    }  # fmt: skip
    slow = {"warmup_steps": 2, "sparsity_warmup_steps": 4}
    kinds: dict[str, tuple[Any, Any, dict[str, Any]]] = {
        "standard": (StandardTrainer, plain.AutoEncoder, {"lr": 1e-3, **slow}),
        "standard, April": (StandardTrainerAprilUpdate, plain.AutoEncoder, {"lr": 1e-3, **slow}),
        "p-anneal": (
            PAnnealTrainer, plain.AutoEncoder, {"lr": 1e-3, **slow, "sparsity_function": "Lp"},
        ),
        "gated": (GatedSAETrainer, plain.GatedAutoEncoder, {"lr": 1e-3, "l1_penalty": 0.1, **slow}),
        "gated, annealed": (
            GatedAnnealTrainer, plain.GatedAutoEncoder, {"lr": 1e-3, **slow, "anneal_start": 5},
        ),
        "JumpReLU": (
            JumpReluTrainer, plain.JumpReluAutoEncoder, {"lr": 1e-3, **slow, "target_l0": 8},
        ),
        "TopK": (TopKTrainer, AutoEncoderTopK, {"k": K, **slow}),
        "BatchTopK": (BatchTopKTrainer, BatchTopKSAE, {"k": K, "threshold_start_step": 2, **slow}),
        "BatchTopK, short": (BatchTopKTrainer, BatchTopKSAE, {"k": K, **slow}),
        "Matryoshka": (
            MatryoshkaBatchTopKTrainer, MatryoshkaBatchTopKSAE,
            {"k": K, "group_fractions": [0.25, 0.75], "threshold_start_step": 2, **slow},
        ),
    }  # fmt: skip
    x = activations()
    for number, (kind, (trainer, opened, options)) in enumerate(kinds.items()):
        for normalise in (False, True):
            path = folder / f"learned-{number}-{normalise}"
            batches = [x.float()[torch.randperm(TOKENS)[:128]] for _ in range(130)]
            known = inspect.signature(trainer).parameters
            wanted = common | options
            config = {key: value for key, value in wanted.items() if key in known}
            config["trainer"] = trainer
            with torch.enable_grad():
                trainSAE(
                    iter(batches), [config], steps=20, save_dir=str(path), device="cpu",
                    save_steps=[10], normalize_activations=normalise, verbose=False,
                )  # fmt: skip
            name = f"{kind}{', normalised' if normalise else ''}"
            own = path / "trainer_0"
            yield _learned_case(name, own / "ae.pt", own, opened, x)
            for checkpoint in sorted((own / "checkpoints").glob("ae_*.pt")):
                yield _learned_case(f"{name}, a checkpoint", checkpoint, checkpoint, opened, x)


def _learned_case(kind: str, file: Path, path: Path, opened: Any, x: Tensor) -> Case:
    dictionary = opened.from_pretrained(str(file)).double()
    acts = dictionary.encode(x)
    return Case(kind, path, acts, dictionary.decode(acts))


# ---- sparsify ---------------------------------------------------------------------------------


def sparsify(folder: Path) -> Iterator[Case]:
    """EleutherAI sparsify: its coders and transcoders of every setting."""
    from sparsify.config import SparseCoderConfig
    from sparsify.sparse_coder import SparseCoder

    x = activations()
    kinds: dict[str, tuple[dict[str, Any], torch.dtype]] = {
        "topk": ({}, torch.float32),
        "topk, expansion factor": ({"num_latents": 0, "expansion_factor": 4}, torch.float32),
        "topk, decoder not normalised": ({"normalize_decoder": False}, torch.float32),
        "topk, multi-TopK": ({"multi_topk": True}, torch.float32),
        "topk, bfloat16": ({}, torch.bfloat16),
        "topk, float16": ({}, torch.float16),
        "groupmax": ({"activation": "groupmax"}, torch.float32),
        "transcoder": ({"transcode": True}, torch.float32),
        "skip connection": ({"skip_connection": True}, torch.float32),
        "skip transcoder": ({"skip_connection": True, "transcode": True}, torch.float32),
    }
    for number, (kind, (options, dtype)) in enumerate(kinds.items()):
        config = SparseCoderConfig(**({"num_latents": D_SAE, "k": K} | options))
        coder = SparseCoder(D_IN, config, dtype=dtype)
        shaken(coder)
        path = folder / f"sparsify-{number}" / "layers.0"
        coder.save_to_disk(path)
        saved = SparseCoder.load_from_disk(path).double()
        some, indices, _ = saved.encode(x)
        acts = torch.zeros(TOKENS, saved.num_latents).double().scatter_(1, indices, some)
        # Their forward alone has a skip connection, and with multi_topk it gives the sum of 4 k.
        x_hat = saved.decode(some, indices) if saved.W_skip is None else saved(x).sae_out
        yield Case(kind, path, acts, x_hat)


# ---- circuit-tracer ---------------------------------------------------------------------------


def circuit_tracer(folder: Path) -> Iterator[Case]:
    """circuit-tracer: layers of a set of transcoders and of a cross-layer one, and whole ones.

    A layer's reconstruction is what its features write in their own block. A whole one reads the
    same activations in each block.
    """
    from circuit_tracer.transcoder.activation_functions import JumpReLU, TopK
    from circuit_tracer.transcoder.cross_layer_transcoder import CrossLayerTranscoder, load_clt
    from circuit_tracer.transcoder.single_layer_transcoder import SingleLayerTranscoder

    x, device = activations(), torch.device("cpu")
    hooks = f"feature_input_hook: mlp.hook_in\nfeature_output_hook: hook_mlp_out\nk: {K}\n"
    own = {"relu": torch.relu, "topk": TopK(K), "jump_relu": JumpReLU(torch.zeros(D_SAE), 0.1)}
    for activation, function in own.items():
        for skip in (False, True):
            path = folder / f"{activation}-{skip}"
            path.mkdir()
            coder = SingleLayerTranscoder(
                D_IN, D_SAE, function, 0, skip, device=device, dtype=torch.float32
            )
            shaken(coder)
            save_file(coder.state_dict(), path / "layer_0.safetensors")
            kind = f"model_kind: transcoder_set\nactivation: {activation}\n"
            (path / "config.yaml").write_text(f"{kind}{hooks}")
            coder = coder.double()
            acts = coder.encode(x)
            name = f"{activation}{' with skip' if skip else ''}"
            yield Case(name, path / "layer_0.safetensors", acts, coder(x))
    for activation in ("relu", "jump_relu"):
        for skip in (False, True):
            path = folder / f"clt-{activation}-{skip}"
            clt = CrossLayerTranscoder(
                4, D_SAE, D_IN, activation, skip, False, device=device, dtype=torch.float32
            )
            shaken(clt)
            clt.to_safetensors(str(path))
            (path / "config.yaml").write_text(f"model_kind: cross_layer_transcoder\n{hooks}")
            clt = load_clt(str(path), device=device, dtype=torch.float64, lazy_decoder=False)
            layer = 1
            acts = clt.encode_layer(x, layer)
            x_hat = acts @ clt._get_decoder_vectors(layer)[:, 0] + clt.b_dec[layer]
            if clt.W_skip is not None:  # some versions do not save it
                x_hat = x_hat + clt.compute_skip(layer, x)
            name = f"a layer of a CLT, {activation}{' with skip' if skip else ''}"
            yield Case(name, path / f"W_enc_{layer}.safetensors", acts, x_hat)
            if not skip:
                everywhere = x.expand(4, *x.shape)
                acts, x_hat = (
                    part.transpose(0, 1).flatten(1)
                    for part in (clt.encode(everywhere), clt(everywhere))
                )
                yield Case(f"a whole CLT, {activation}", path, acts, x_hat)


WRITERS: dict[str, Callable[[Path], Iterator[Case]]] = {
    "saelens": saelens,
    "dictionary_learning": dictionary_learning,
    "sparsify": sparsify,
    "circuit_tracer": circuit_tracer,
}


def main() -> int:
    """Write every case of one library."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("library", choices=WRITERS)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    with torch.no_grad():
        for number, case in enumerate(WRITERS[options.library](options.folder)):
            seen = options.folder / f"{number}.safetensors"
            save_file({"acts": case.acts.contiguous(), "x_hat": case.x_hat.contiguous()}, seen)
            line = {"kind": case.kind, "path": str(case.path), "seen": str(seen)}
            print(json.dumps(line), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
