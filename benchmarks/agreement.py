"""What other libraries write, opened here: equal to their own encode and decode, or refused.

    python -m benchmarks.agreement --saelens PYTHON --dictionary-learning PYTHON \\
        --sparsify PYTHON --circuit-tracer PYTHON

Each PYTHON is the interpreter of an environment with that library; none can share one with this
project. (circuit-tracer is installed from its repository: the registry's package of that name is
somebody else's.) Folders of every kind are written there (`benchmarks/other_libraries.py`), with
what the library itself makes of some activations in float64; the largest differences are printed,
relative to the largest number, and for what is refused the sentence.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import load_file

from benchmarks.other_libraries import HOOK_POINT, WRITERS, activations
from sae_core.dictionaries.cross_layer_files import is_cross_layer, load_cross_layer
from sae_core.dictionaries.dictionary import Dictionary
from sae_core.dictionaries.formats.opening import open_dictionary
from sae_core.errors import CheckpointError

_PROMISED = 1e-6  # dictionary_learning brings decoder rows to norm 1 in float32
_WRITER = Path(__file__).with_name("other_libraries.py")


def written(interpreter: str, library: str, folder: Path) -> Iterator[dict[str, str]]:
    """Let a library write its folders: the kind, the path and what was seen of each."""
    command = [interpreter, str(_WRITER), library, str(folder)]
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    environment |= {"HF_HUB_OFFLINE": "1", "WANDB_MODE": "disabled"}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    for line in done.stdout.splitlines():
        if line.startswith("{"):
            yield json.loads(line)


def compared(case: dict[str, str]) -> tuple[str, bool]:
    """What came of one folder, as the end of a line, and whether that is as promised."""
    seen, path, x = load_file(case["seen"]), Path(case["path"]), activations()
    dictionary: Dictionary
    try:
        if path.is_dir() and is_cross_layer(path):
            dictionary = whole = load_cross_layer(path, dtype=torch.float64)
            x = x.repeat(1, whole.layers)
        else:
            opened = open_dictionary(path, hook_point=HOOK_POINT, dtype=torch.float64)
            dictionary = opened.dictionary
    except CheckpointError as error:
        return f"refused: {error}".replace(case["path"], "…"), True
    acts, x_hat = dictionary.encode(x), dictionary(x)
    if acts.shape[1] == 2 * seen["acts"].shape[1]:  # features of either sign are two each here
        acts = acts[:, : acts.shape[1] // 2] - acts[:, acts.shape[1] // 2 :]
    off = float((acts - seen["acts"]).abs().max() / seen["acts"].abs().max())
    rebuilt = float((x_hat - seen["x_hat"]).abs().max() / seen["x_hat"].abs().max())
    l0 = float((acts != 0).sum() / len(acts))
    right = max(off, rebuilt) <= _PROMISED and l0 > 0
    return f"L0 {l0:5.1f}  {off:7.1e} {rebuilt:7.1e}{'' if right else '  WRONG'}", right


def main() -> int:
    """Print the table; the number of folders that are read wrongly."""
    parser = argparse.ArgumentParser(description=__doc__)
    for library in WRITERS:
        parser.add_argument("--" + library.replace("_", "-"), metavar="PYTHON")
    options = parser.parse_args()
    wrong = equal = refused = 0
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        for library in WRITERS:
            if (interpreter := getattr(options, library)) is None:
                continue
            print(library)
            own = Path(folder) / library
            own.mkdir()
            for case in written(interpreter, library, own):
                line, right = compared(case)
                wrong += not right
                refused += line.startswith("refused")
                equal += right and not line.startswith("refused")
                print(f"  {case['kind']:58} {line}", flush=True)
    print(f"{equal} equal, {refused} refused in a sentence, {wrong} wrong")
    return wrong


if __name__ == "__main__":
    raise SystemExit(main())
