"""How far each reader is from its format's own maths: `python -m benchmarks.formats`, a second.

Every dictionary is written in its format by the tests' writers, opened, and asked about activations
of many sizes, in float64 (is the equation right?) and in float32 (what do users get?).
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch

from sae_core.dictionaries.formats.opening import FORMATS, open_dictionary
from tests.sae_core.dictionaries.formats.cases import CASES, HOOK, activations


def main() -> int:
    """Print the largest differences; 1 where an equation is wrong."""
    x = activations(1000)
    right = True
    print("largest difference of:            activations           reconstructions")
    print("                               float64    float32     float64    float32")
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, (expected, write)) in enumerate(CASES.items()):
            written = write(Path(folder) / str(number))
            truth = written.encode(x) * written.unit(x), written.rebuild(x)
            differences = []
            for dtype in (torch.float64, torch.float32):
                opened = open_dictionary(written.path, hook_point=HOOK, dtype=dtype)
                assert opened.format == expected
                acts = opened.dictionary.encode(x.to(dtype)).double()
                x_hat = opened.dictionary(x.to(dtype)).double()
                differences += [float((acts - truth[0]).abs().max())]
                differences += [float((x_hat - truth[1]).abs().max())]
            exact, rebuilt, acts32, rebuilt32 = differences
            right &= max(exact, rebuilt) < 1e-11
            print(f"{name:30} {exact:8.1e}   {acts32:8.1e}    {rebuilt:8.1e}   {rebuilt32:8.1e}")
    print(f"{len(CASES)} dictionaries, {len(FORMATS)} readers")
    return int(not right)


if __name__ == "__main__":
    raise SystemExit(main())
