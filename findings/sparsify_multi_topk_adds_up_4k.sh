#!/usr/bin/env bash
# eai-sparsify 1.3.3: with multi_topk, forward returns the reconstruction of 4 k latents.
#
# Expected: coder(x).sae_out is decode(*encode(x)): the k latents of the coder.
# Observed: `forward` takes a second, wider TopK for a loss of training, and keeps it in the variables
#   that it returns: sae_out, latent_acts and latent_indices are those of 4 k latents, in evaluation
#   too. Whoever measures such a coder by its forward finds it better, and less sparse, than it is.
#
# Output seen on 2026-11-30:
#   encode: 8 latents a token; forward: 32
#   forward gives the sum of 8: False; of 32: True
#
# Exits with 1 if that changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install --quiet 'torch==2.13.0' 'eai-sparsify==1.3.3'
cd "$work"
"$work/env/bin/python" - <<'PY'
import sys

import torch
from sparsify.config import SparseCoderConfig
from sparsify.sparse_coder import SparseCoder

torch.manual_seed(0)
torch.set_grad_enabled(False)
coder = SparseCoder(16, SparseCoderConfig(num_latents=256, k=8, multi_topk=True)).eval()
x = torch.randn(64, 16)
top, indices, pre = coder.encode(x)
out = coder(x)
print(f"encode: {top.shape[-1]} latents a token; forward: {out.latent_acts.shape[-1]}")
narrow = torch.allclose(out.sae_out, coder.decode(top, indices), atol=1e-5)
wide = torch.allclose(out.sae_out, coder.decode(*pre.topk(32)), atol=1e-5)
print(f"forward gives the sum of 8: {narrow}; of 32: {wide}")
sys.exit(0 if wide and not narrow and out.latent_acts.shape[-1] == 32 else 1)
PY
