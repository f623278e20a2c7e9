#!/usr/bin/env bash
# torch 2.13.0: a batch of gradients through a constant attention pattern repeats the pattern, and
# `is_grads_batched=True` never asks a custom function for its own rule.
#
# Expected: of out = pattern @ value, with a pattern that needs no gradient, the derivatives of a
#   batch of targets by the values are one product with the transposed pattern; and a rule (`vmap`)
#   that a torch.autograd.Function has for batches is used however the batch is asked for.
# Observed: the pattern is expanded to one copy for each gradient, so that attribution over long
#   prompts takes [batch, heads, pos, pos] of memory. A Function with a rule of its own avoids that
#   under torch.vmap; `torch.autograd.grad(..., is_grads_batched=True)`, which the documentation
#   describes as the same in short, runs the older vmap, which passes the rule by.
#
# Output seen on 2026-12-01:
#   64 gradients, a pattern of 4 MiB: the peak grows by 4 patterns or more a 16 gradients: True
#   the function's rule is called: torch.vmap True, is_grads_batched False
#   both give the same derivatives: True
#
# Exits with 1 if that changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install --quiet 'torch==2.13.0' 'numpy'
"$work/env/bin/python" - <<'PY'
import resource
import sys

import torch
from torch.autograd import Function

POS, HEADS, WIDTH, BATCH = 512, 4, 64, 64
called = []


class Mixed(Function):
    @staticmethod
    def forward(pattern, value):
        return pattern @ value

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(inputs[0])

    @staticmethod
    def backward(ctx, gradient):
        return None, Back.apply(ctx.saved_tensors[0], gradient)


class Back(Function):
    @staticmethod
    def forward(pattern, gradient):
        return pattern.mT @ gradient

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass

    @staticmethod
    def vmap(info, in_dims, pattern, gradient):
        called.append(True)
        rows = gradient.movedim(in_dims[1], 0)
        return torch.einsum("xhqk,bxhqw->bxhkw", pattern, rows), 0


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


torch.manual_seed(0)
torch.set_num_threads(1)
pattern = torch.rand(1, HEADS, POS, POS).softmax(-1)
value = torch.randn(1, HEADS, POS, WIDTH, requires_grad=True)
weights = torch.randn(BATCH, 1, HEADS, POS, WIDTH)
plain, own = pattern @ value, Mixed.apply(pattern, value)


def by_vmap(out):
    def pull(w):
        return torch.autograd.grad(out, value, w, retain_graph=True)[0]

    return torch.vmap(pull)(weights)


def by_flag(out):
    return torch.autograd.grad(out, value, weights, retain_graph=True, is_grads_batched=True)[0]


by_vmap(own)
before = peak()
by_flag(plain)
grown = peak() - before
repeated = grown > BATCH / 4 * pattern.numel() * 4
size = pattern.numel() * 4 >> 20
print(f"{BATCH} gradients, a pattern of {size} MiB: the peak grows by 4 patterns or more a 16 "
      f"gradients: {repeated}")
seen, results = {}, []
for name, pull in {"torch.vmap": by_vmap, "is_grads_batched": by_flag}.items():
    called.clear()
    results.append(pull(own))
    seen[name] = bool(called)
print("the function's rule is called: " + ", ".join(f"{k} {v}" for k, v in seen.items()))
same = torch.allclose(*results, atol=1e-5)
print(f"both give the same derivatives: {same}")
expected = {"torch.vmap": True, "is_grads_batched": False}
sys.exit(0 if repeated and seen == expected and same else 1)
PY
