"""Do SAELens and this project mean the same by a folder? Both read what the other one wrote.

    python -m venv saelens && saelens/bin/pip install 'torch==2.13.*' 'sae-lens==6.54.*'
    python -m benchmarks.saelens_agreement saelens/bin/python

A few steps of each architecture are trained here, saved, and opened by SAELens in its environment;
a dictionary of each kind is made there, saved, and opened here. Stated are the largest differences
of encode and decode in float32. SAELens cannot share an environment with this project, so neither
side is imported before it is known which one this is.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file, save_file

if TYPE_CHECKING:
    from torch import Tensor

HOOK_POINT = "blocks.0.mlp.hook_post"
ARCHITECTURES = ("standard", "gated", "topk", "batchtopk", "matryoshka", "jumprelu")
D_IN, D_SAE, L0, STEPS, TOKENS = 64, 256, 8, 100, 512
PROMISED = 1e-5
SEEN = "seen.safetensors"


class Activations:
    """Sparse sums of random directions, off centre, as a stream to train on."""

    device = torch.device("cpu")
    d_in = D_IN
    identity = "made up"

    def __init__(self) -> None:
        draw = torch.Generator().manual_seed(0)
        self._directions = torch.nn.functional.normalize(
            torch.randn(2 * D_IN, D_IN, generator=draw), dim=-1
        )
        sample = self.batch(0)
        self.mean = sample.mean(dim=0)
        self.mean_square_norm = float(sample.pow(2).sum(dim=-1).mean())
        self.mean_square_deviation = float((sample - self.mean).pow(2).sum(dim=-1).mean())

    def batch(self, number: int) -> Tensor:
        """Float32 [TOKENS, D_IN]."""
        draw = torch.Generator().manual_seed(number)
        shape = (TOKENS, len(self._directions))
        acts = torch.rand(shape, generator=draw) * (torch.rand(shape, generator=draw) < 0.05)
        return 3 * acts @ self._directions + 0.1


def write_ours(folder: Path) -> None:
    """Train, save, and keep what encode and decode gave for one batch."""
    from sae_core.dictionaries.checkpoint import save_dictionary
    from sae_core.training.config import Normalisation, TrainingConfig
    from sae_core.training.trainer import train

    stream = Activations()
    x = stream.batch(STEPS)
    for architecture in ARCHITECTURES:
        config = TrainingConfig(
            architecture,
            d_sae=D_SAE,
            l0=L0,
            tokens=STEPS * TOKENS,
            batch=TOKENS,
            normalisation=Normalisation.MEAN_AND_NORM,
        )
        own = folder / architecture
        dictionary = train(stream, config, HOOK_POINT, folder / f"{architecture}.ckpt").dictionary
        save_dictionary(dictionary, own)
        acts = dictionary.encode(x)
        save_file({"x": x, "acts": acts, "x_hat": dictionary.decode(acts, x)}, own / SEEN)


def read_ours(folder: Path) -> None:
    """In SAELens' environment: open folders of this project, print the differences."""
    from sae_lens.saes.sae import SAE

    for architecture in ARCHITECTURES:
        sae = SAE.load_from_disk(folder / architecture, device="cpu")
        seen = load_file(folder / architecture / SEEN)
        with torch.no_grad():
            acts = sae.encode(seen["x"])
            _report("ours there", architecture, seen, acts, sae.decode(acts))


def write_theirs(folder: Path) -> None:
    """In SAELens' environment: save a dictionary of each kind, and what it gives."""
    from sae_lens.registry import get_sae_training_class
    from sae_lens.saes.sae import SAE, SAEMetadata

    x = Activations().batch(STEPS)
    own: dict[str, dict[str, Any]] = {
        "topk": {"k": L0},
        "batchtopk": {"k": L0},
        "matryoshka": {"k": L0, "matryoshka_widths": [D_SAE // 4, D_SAE]},
        "jumprelu": {"jumprelu_init_threshold": 0.1},
    }
    names = {"matryoshka": "matryoshka_batchtopk"}
    for seed, architecture in enumerate(ARCHITECTURES):
        torch.manual_seed(seed)
        build, configure = get_sae_training_class(names.get(architecture, architecture))
        metadata = SAEMetadata(hook_name=HOOK_POINT)
        options = own.get(architecture, {})
        sae = build(configure(d_in=D_IN, d_sae=D_SAE, metadata=metadata, **options))
        with torch.no_grad():
            for name, parameter in sae.named_parameters():
                parameter.add_(0.2 * (torch.rand_like(parameter) - (name != "threshold") * 0.5))
            if hasattr(sae, "topk_threshold"):
                sae.topk_threshold.fill_(0.15)
            sae.fold_activation_norm_scaling_factor(0.7)
            sae.save_inference_model(folder / architecture)
            saved = SAE.load_from_disk(folder / architecture, device="cpu")
            acts = saved.encode(x)
            save_file(
                {"x": x, "acts": acts, "x_hat": saved.decode(acts)}, folder / architecture / SEEN
            )


def read_theirs(folder: Path) -> None:
    """Open folders that SAELens wrote, print the differences."""
    from sae_core.dictionaries.checkpoint import load_dictionary

    for architecture in ARCHITECTURES:
        dictionary = load_dictionary(folder / architecture)
        seen = load_file(folder / architecture / SEEN)
        acts = dictionary.encode(seen["x"])
        x_hat = dictionary.decode(acts, seen["x"])
        _report("theirs here", architecture, seen, acts, x_hat)


def _report(
    way: str, architecture: str, seen: dict[str, Tensor], acts: Tensor, x_hat: Tensor
) -> None:
    facts = {
        "way": way,
        "architecture": architecture,
        "l0": float((acts > 0).sum() / len(acts)),
        "encode": float((acts - seen["acts"]).abs().max()),
        "decode": float((x_hat - seen["x_hat"]).abs().max()),
    }
    print(json.dumps(facts), flush=True)


def compare(interpreter: str) -> int:
    """Both ways through both interpreters; how many promises were missed."""
    with tempfile.TemporaryDirectory() as folder:
        lines = []
        for python, side in ((sys.executable, "ours"), (interpreter, "theirs")):
            lines += _run(python, f"write-{side}", folder)
        lines += _run(interpreter, "read-ours", folder) + _run(
            sys.executable, "read-theirs", folder
        )
    missed = 0
    print(f"{'':12} {'architecture':12} {'L0':>6} {'encode':>9} {'decode':>9}")
    for line in lines:
        facts = json.loads(line)
        kept = max(facts["encode"], facts["decode"]) <= PROMISED and facts["l0"] > 0
        missed += not kept
        print(
            f"{facts['way']:12} {facts['architecture']:12} {facts['l0']:6.1f} "
            f"{facts['encode']:9.1e} {facts['decode']:9.1e}{'' if kept else '  too far apart'}"
        )
    return missed


def _run(python: str, side: str, folder: str) -> list[str]:
    command = [python, __file__, f"--{side}", folder]
    root = str(Path(__file__).parents[1])
    environment = os.environ | {"PYTHONPATH": root}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    return [line for line in done.stdout.splitlines() if line.startswith("{")]


def main() -> int:
    """Compare, or be one of the four halves."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("interpreter", nargs="?", help="a Python that has SAELens")
    halves = {
        "write_ours": ("ours", write_ours),
        "read_ours": ("ours", read_ours),
        "write_theirs": ("theirs", write_theirs),
        "read_theirs": ("theirs", read_theirs),
    }
    for name in halves:
        parser.add_argument("--" + name.replace("_", "-"), type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    for name, (folder, half) in halves.items():
        if (chosen := getattr(options, name)) is not None:
            half(chosen / folder)
            return 0
    if options.interpreter is None:
        parser.error("give the interpreter of an environment with SAELens")
    return compare(options.interpreter)


if __name__ == "__main__":
    sys.exit(main())
