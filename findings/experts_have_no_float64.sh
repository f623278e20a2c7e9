#!/usr/bin/env bash
# transformers 5.23.0, torch 2.13.0: mixtures of experts cannot run in float64 as they are loaded.
#
# Expected: a model that was loaded with dtype=torch.float64 computes in float64, as others do.
# Observed: the default product over all experts at once (grouped_mm) takes float32, bfloat16 and
#   float16 alone, and the forward pass raises a RuntimeError. With experts_implementation="eager",
#   which takes the experts one by one, it computes, and in float64.
#
# Output seen on 2026-11-30:
#   as loaded: Expected mat_a to be Float32, BFloat16 or Float16 matrix, got Double
#   eager: torch.float64, finite: True
#
# Exits with 1 if that changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install --quiet 'torch==2.13.0' 'transformers==5.23.0'
cd "$work"
"$work/env/bin/python" - <<'PY'
import sys

import torch
from transformers import AutoModelForCausalLM, MixtralConfig, MixtralForCausalLM

config = MixtralConfig(
    vocab_size=100, hidden_size=32, intermediate_size=40, num_hidden_layers=1,
    num_attention_heads=4, num_key_value_heads=2, num_local_experts=4,
)
MixtralForCausalLM(config).save_pretrained("model")
tokens = torch.arange(12)[None]
message = ""
try:
    AutoModelForCausalLM.from_pretrained("model", dtype=torch.float64)(tokens)
except RuntimeError as error:
    message = str(error).splitlines()[0]
print(f"as loaded: {message or 'computes'}")
model = AutoModelForCausalLM.from_pretrained(
    "model", dtype=torch.float64, experts_implementation="eager"
)
logits = model(tokens).logits
print(f"eager: {logits.dtype}, finite: {bool(logits.isfinite().all())}")
sys.exit(0 if "got Double" in message and logits.dtype is torch.float64 else 1)
PY
