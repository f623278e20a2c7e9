"""How delphi names its files: `explanations/MODULE_latentN.txt`, `scores/SCORER/…` beside it.

Each file is a JSON document: the label, or a list with what was said of each excerpt (delphi's
`ClassifierOutput`). Source: `delphi/__main__.py`, `delphi/scorers/classifier/sample.py` and
`delphi/log/result_analysis.py` of delphi 0.1.1.
"""

from __future__ import annotations

import re
from pathlib import Path

EXPLANATIONS, SCORES = "explanations", "scores"
SCORERS = {"detection": "detection", "fuzz": "fuzzing"}
"""The scorers that both know, by delphi's name."""
LARGEST = 16 * 2**20  # bytes of one file
MOST = 1_000_000  # files of one folder
_NAME = re.compile(r"(?P<module>.*)_latent(?P<index>\d{1,12})\.txt")


def file_name(hook_point: str, index: int) -> str:
    """The file of a feature: delphi finds the number behind the last `latent`."""
    return f"{hook_point.replace('/', '--')}_latent{index}.txt"


def feature_of(path: Path) -> tuple[str, int] | None:
    """Module and number of the feature that a file is of; None: the file is none of delphi's."""
    match = _NAME.fullmatch(path.name)
    return (match["module"], int(match["index"])) if match else None


def is_delphi(folder: Path) -> bool:
    """Whether a folder holds explanations in delphi's manner."""
    explanations = folder / EXPLANATIONS
    if not explanations.is_dir():
        return False
    return any(feature_of(path) is not None for path in explanations.glob("*_latent*.txt"))
