#!/usr/bin/env bash
# transformers 5.23.0, torch 2.13.0: Falcon adds attention's output onto the MLP's, in place.
#
# Expected: a tensor that a forward hook was given stays what the module returned.
# Observed: FalconDecoderLayer runs `mlp_output += attention_output` on that very tensor, so that
#   what a hook kept without a copy is the sum of both by the end of the forward pass.
#
# Output seen on 2026-11-30:
#   kept without a copy, against the copy: off by 56 % of its norm
#   the difference is what attention returned: True
#
# Exits with 1 if that changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install --quiet 'torch==2.13.0' 'transformers==5.23.0'
"$work/env/bin/python" - <<'PY'
import sys

import torch
from transformers import FalconConfig, FalconForCausalLM

torch.manual_seed(0)
config = FalconConfig(vocab_size=100, hidden_size=32, num_hidden_layers=1, num_attention_heads=4)
model = FalconForCausalLM(config).eval()
block, kept = model.transformer.h[0], {}
block.mlp.register_forward_hook(lambda m, i, out: kept.update(mlp=out, copy=out.clone()))
block.self_attention.register_forward_hook(lambda m, i, out: kept.update(attention=out[0].clone()))
with torch.no_grad():
    model(torch.arange(12)[None])
difference = kept["mlp"] - kept["copy"]
share = float(difference.norm() / kept["copy"].norm())
same = torch.allclose(difference, kept["attention"], atol=1e-6)
print(f"kept without a copy, against the copy: off by {100 * share:.0f} % of its norm")
print(f"the difference is what attention returned: {same}")
sys.exit(0 if same and share > 0.01 else 1)
PY
