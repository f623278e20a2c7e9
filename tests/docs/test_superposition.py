"""The lesson in docs/superposition.md, run as it stands, against PyTorch's gradients."""

from __future__ import annotations

import re
from contextlib import redirect_stdout
from io import StringIO
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.contract.repository import ROOT

TEXT = (ROOT / "docs/superposition.md").read_text()


@pytest.fixture(scope="module")
def lesson() -> dict[str, Any]:
    """What the page's code defines, with its output under `printed`."""
    names: dict[str, Any] = {}
    printed = StringIO()
    with redirect_stdout(printed):
        for number, block in enumerate(re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)):
            exec(compile(block, f"superposition.md, block {number}", "exec"), names)
    return names | {"printed": printed.getvalue()}


def test_every_part_of_the_lesson_stands_there_once() -> None:
    headings = re.findall(r"^#+ .*", TEXT, re.MULTILINE)
    blocks = re.findall(r"```\w+\n(.*?)```", TEXT, re.DOTALL)
    assert len(set(headings)) == len(headings) >= 6
    assert len(set(blocks)) == len(blocks)


def test_what_the_page_says_was_found(lesson: dict[str, Any]) -> None:
    printed = re.findall(r"(.*) finds +(\d+) of 32", lesson["printed"])
    told_block = re.findall(r"```text\n(.*?)```", TEXT, re.DOTALL)[0]
    shown = re.findall(r"(.*) finds +(\d+) of 32", told_block)
    assert [name for name, _ in printed] == [name for name, _ in shown]
    counts = {name.strip(): int(n) for name, n in printed}
    told = {name.strip(): int(n) for name, n in shown}
    assert counts["random latents"] == told["random latents"]
    # Training on another processor rounds otherwise.
    assert all(abs(counts[name] - told[name]) <= 4 for name in told)
    assert counts["TopK, k = 1"] >= 28
    assert counts["ReLU, l1 = 0.1"] < counts["TopK, k = 2"] - 10


@pytest.mark.parametrize(("k", "l1"), [(2, 0.0), (3, 0.2), (None, 0.1)])
def test_gradients_by_hand_are_autograds(lesson: dict[str, Any], k: int | None, l1: float) -> None:
    draw = torch.Generator().manual_seed(4)
    shapes = {"W_dec": (24, 8), "W_enc": (8, 24), "b_enc": (24,), "b_dec": (8,)}
    p = {
        name: torch.randn(shape, generator=draw, dtype=torch.float64, requires_grad=True)
        for name, shape in shapes.items()
    }
    x = torch.randn(50, 8, generator=draw, dtype=torch.float64)
    loss = _loss(p, x, k, l1)
    torch.autograd.backward(loss)
    plain = {name: value.detach().numpy() for name, value in p.items()}
    by_hand, gradients = lesson["gradients"](plain, x.numpy(), k, l1)
    assert by_hand == pytest.approx(float(loss.detach()), rel=1e-12)
    for name, value in p.items():
        assert value.grad is not None
        assert torch.from_numpy(gradients[name]) == pytest.approx(value.grad, abs=1e-12)


def _loss(p: dict[str, Tensor], x: Tensor, k: int | None, l1: float) -> Tensor:
    pre = torch.relu((x - p["b_dec"]) @ p["W_enc"] + p["b_enc"])
    if k is None:
        f = pre
    else:
        top = pre.topk(k, dim=-1)
        f = torch.zeros_like(pre).scatter(-1, top.indices, top.values)
    error = f @ p["W_dec"] + p["b_dec"] - x
    return (error.pow(2).sum() + l1 * f.sum()) / len(x)
