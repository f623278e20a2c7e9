"""What a crowd asks for, and whether what comes back is right."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

PROMPT = "def read(self, path):\n    "
DIFFERENCE = 1e-3  # of a float: batches of another shape round differently
_Steering = tuple[str, dict[str, Any]]


def steering(feature: int, n_tokens: int, seed: int = 0) -> _Steering:
    """Where to ask for a steered text, and how."""
    edit = {"dictionary": "mlp-4096", "feature": feature, "mode": "add", "strength": 2.0}
    question = {"prompt": PROMPT, "edits": [edit], "n_tokens": n_tokens, "seed": seed}
    return "/api/v1/m/demo/steer", question


def reading(number: int) -> tuple[str, dict[str, Any]]:
    """Where to ask what fires on a prompt, and how; each number has a prompt of its own."""
    prompt = f"for step in range({number}):\n    total += weights[step] * {number}"
    return "/api/v1/m/demo/activations", {"prompt": prompt, "dictionaries": ["mlp-4096"]}


def ablation(feature: int) -> str:
    """Where to ask for a feature's strongest contexts with what ablation does to them."""
    return f"/api/v1/d/demo/mlp-4096/{feature}/groups/top"


def drawn(stream: bytes) -> list[tuple[str, int]]:
    """The tokens of both texts in a stream, sorted by text and step."""
    tokens = [event for event in events(stream) if event["event"] == "token"]
    tokens.sort(key=lambda event: (event["pane"], event["step"]))
    return [(event["pane"], event["token"]) for event in tokens]


def events(stream: bytes) -> Iterator[dict[str, Any]]:
    """The events of a stream that ended."""
    for line in stream.split(b"\n"):
        if line.startswith(b"data: "):
            yield json.loads(line[6:])


def equal(left: Any, right: Any) -> bool:
    """Whether two JSON answers say the same, but for rounding."""
    if isinstance(left, float) and isinstance(right, float):
        return math.isclose(left, right, rel_tol=DIFFERENCE, abs_tol=DIFFERENCE)
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(equal(left[k], right[k]) for k in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(equal, left, right))
    return bool(left == right)
