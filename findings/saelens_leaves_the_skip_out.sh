#!/usr/bin/env bash
# sae-lens 6.54.12: a transcoder with a skip connection is put into the model without it.
#
# Expected: run_with_saes replaces the MLP's output by what the transcoder says of its input,
#   `transcoder(x)`, skip connection included; losses measured so are those of the transcoder.
# Observed: HookedSAETransformer calls encode and decode, and decode knows no skip connection: only
#   `forward` adds x W_skip^T. What goes on through the model is decode(encode(x)), with no word of
#   it, for SkipTranscoder and JumpReLUSkipTranscoder alike. The error term (use_error_term) takes the
#   difference up, so that the loss is clean with it and wrong without it.
#
# Output seen on 2026-11-30:
#   SkipTranscoder: the model goes on with transcoder(x) False, with decode(encode(x)) True
#   JumpReLUSkipTranscoder: the model goes on with transcoder(x) False, with decode(encode(x)) True
#
# Exits with 1 if that changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install --quiet 'torch==2.13.0' 'sae-lens==6.54.12'
cd "$work"
HF_HUB_OFFLINE=1 "$work/env/bin/python" - <<'PY'
import logging
import sys

import torch
from sae_lens import (
    JumpReLUSkipTranscoder,
    JumpReLUSkipTranscoderConfig,
    SkipTranscoder,
    SkipTranscoderConfig,
)
from sae_lens.analysis.hooked_sae_transformer import HookedSAETransformer
from sae_lens.saes.sae import SAEMetadata
from transformer_lens import HookedTransformerConfig

logging.disable(logging.WARNING)
torch.manual_seed(0)
READ, WRITE = "blocks.0.ln2.hook_normalized", "blocks.0.hook_mlp_out"
model = HookedSAETransformer(
    HookedTransformerConfig(
        n_layers=1, d_model=8, n_ctx=8, d_head=4, n_heads=2, d_mlp=16, d_vocab=12, act_fn="relu",
        device="cpu",
    )
)
tokens = torch.tensor([[1, 2, 3, 4]])
x = model.run_with_cache(tokens)[1][READ]
answers = []
for kind, config in (
    (SkipTranscoder, SkipTranscoderConfig),
    (JumpReLUSkipTranscoder, JumpReLUSkipTranscoderConfig),
):
    transcoder = kind(
        config(
            d_in=8, d_out=8, d_sae=4, dtype="float32", device="cpu", apply_b_dec_to_input=False,
            metadata=SAEMetadata(hook_name=READ, hook_name_out=WRITE),
        )
    )
    with torch.no_grad():
        for parameter in transcoder.parameters():
            parameter.normal_()
        cache = model.run_with_cache_with_saes(tokens, saes=[transcoder])[1]
        written = cache["blocks.0.hook_resid_post"] - cache["blocks.0.hook_resid_mid"]
        whole = torch.allclose(written, transcoder(x), atol=1e-4)
        bare = torch.allclose(written, transcoder.decode(transcoder.encode(x)), atol=1e-4)
    print(
        f"{kind.__name__}: the model goes on with transcoder(x) {whole}, "
        f"with decode(encode(x)) {bare}"
    )
    answers.append((whole, bare))
sys.exit(answers != [(False, True)] * 2)
PY
