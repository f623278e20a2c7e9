#!/usr/bin/env bash
# sae-lens 6.54.12: its loader of sparsify's folders opens none of them.
#
# Expected: SAE.load_from_disk(folder, converter=sparsify_disk_loader) opens a folder that sparsify
#   wrote, and encodes as sparsify does.
# Observed: sparsify keeps W_dec as [latents, d_in], which is SAELens' own way round; the loader
#   transposes it, and load_state_dict refuses the shape. Where d_in equals the number of latents
#   nothing is refused, and the decoder is the wrong way round. Besides, b_dec is taken off the input
#   only where `normalize_decoder` is false; sparsify always takes it off, except for transcoders.
#
# Output seen on 2026-11-30:
#   64 latents of 16 dimensions: RuntimeError, size mismatch for W_dec: True
#   16 latents of 16 dimensions: opened, W_dec transposed: True
#   normalize_decoder True: b_dec taken off: False
#   normalize_decoder False: b_dec taken off: True
#
# Exits with 1 if that changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install --quiet 'torch==2.13.0' 'sae-lens==6.54.12'
cd "$work"
"$work/env/bin/python" - <<'PY'
import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from sae_lens import SAE
from sae_lens.loading.pretrained_sae_loaders import sparsify_disk_loader

torch.manual_seed(0)


def written(latents: int, normalised: bool) -> tuple[Path, torch.Tensor]:
    """A folder as sparsify's `SparseCoder.save_to_disk` writes it, and its W_dec."""
    folder = Path("coder") / "layers.0"
    folder.mkdir(parents=True, exist_ok=True)
    W_dec = torch.randn(latents, 16)
    tensors = {"encoder.weight": torch.randn(latents, 16), "encoder.bias": torch.zeros(latents)}
    save_file(tensors | {"W_dec": W_dec, "b_dec": torch.randn(16)}, folder / "sae.safetensors")
    config = {
        "activation": "topk", "expansion_factor": 4, "normalize_decoder": normalised,
        "num_latents": latents, "k": 4, "multi_topk": False, "skip_connection": False,
        "transcode": False, "d_in": 16,
    }
    (folder / "cfg.json").write_text(json.dumps(config))
    return folder, W_dec


def opened(folder: Path) -> SAE:
    return SAE.load_from_disk(folder, converter=sparsify_disk_loader, dtype="float32")


refused = False
try:
    opened(written(64, True)[0])
    print("64 latents of 16 dimensions: opened")
except RuntimeError as error:
    refused = "size mismatch for W_dec" in str(error)
    print(f"64 latents of 16 dimensions: RuntimeError, size mismatch for W_dec: {refused}")
folder, W_dec = written(16, True)
turned = torch.equal(opened(folder).W_dec, W_dec.T)
print(f"16 latents of 16 dimensions: opened, W_dec transposed: {turned}")
subtracts = []
for normalised in (True, False):
    subtracts.append(bool(opened(written(16, normalised)[0]).cfg.apply_b_dec_to_input))
    print(f"normalize_decoder {normalised}: b_dec taken off: {subtracts[-1]}")
sys.exit(0 if refused and turned and subtracts == [False, True] else 1)
PY
