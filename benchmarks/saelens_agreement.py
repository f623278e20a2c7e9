"""Does SAELens mean the same by a folder of ours? It opens what is trained and saved here.

    python -m venv saelens && saelens/bin/pip install 'torch==2.13.*' 'sae-lens==6.54.*'
    python -m benchmarks.saelens_agreement saelens/bin/python

A few steps of each architecture are trained here, saved, and opened by SAELens in its environment.
Stated are the largest differences of encode and decode in float32. SAELens cannot share an
environment with this project, so neither side is imported before it is known which one this is.
The other way is `benchmarks.agreement`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

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
    written = None

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
            _report(architecture, seen, acts, sae.decode(acts))


def _report(architecture: str, seen: dict[str, Tensor], acts: Tensor, x_hat: Tensor) -> None:
    facts = {
        "architecture": architecture,
        "l0": float((acts > 0).sum() / len(acts)),
        "encode": float((acts - seen["acts"]).abs().max()),
        "decode": float((x_hat - seen["x_hat"]).abs().max()),
    }
    print(json.dumps(facts), flush=True)


def compare(interpreter: str) -> int:
    """Write with this interpreter, read with the other one; how many promises were missed."""
    missed = 0
    print(f"{'architecture':12} {'L0':>6} {'encode':>9} {'decode':>9}")
    with tempfile.TemporaryDirectory() as folder:
        _run(sys.executable, "write", folder)
        for line in _run(interpreter, "read", folder):
            facts = json.loads(line)
            kept = max(facts["encode"], facts["decode"]) <= PROMISED and facts["l0"] > 0
            missed += not kept
            print(
                f"{facts['architecture']:12} {facts['l0']:6.1f} "
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
    """Compare, or be one of the two halves."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("interpreter", nargs="?", help="a Python that has SAELens")
    halves = {"write": write_ours, "read": read_ours}
    for name in halves:
        parser.add_argument(f"--{name}", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    for name, half in halves.items():
        if (folder := getattr(options, name)) is not None:
            half(folder)
            return 0
    if options.interpreter is None:
        parser.error("give the interpreter of an environment with SAELens")
    return compare(options.interpreter)


if __name__ == "__main__":
    sys.exit(main())
