#!/usr/bin/env bash
# dictionary-learning 0.1.0: a BatchTopK of a short training keeps every positive activation.
#
# Expected: BatchTopKSAE.encode keeps about k activations a token, whenever it was saved.
# Observed: encode compares with a threshold that training begins to learn at step
#   threshold_start_step (1000 if nothing is said); before, it is -1, so that every positive
#   activation stays. Neither saving nor loading says so. The same holds for checkpoints.
#
# Output seen on 2026-11-30:
#   threshold in the file: -1.0
#   k is 8; active on average: 126.4
#   with use_threshold=False: 8.0
#
# Exits with 1 if that changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install --quiet 'torch==2.13.0' 'dictionary-learning==0.1.0'
cd "$work"
"$work/env/bin/python" - <<'PY'
import sys

import torch
from dictionary_learning.trainers.batch_top_k import BatchTopKSAE, BatchTopKTrainer
from dictionary_learning.training import trainSAE

torch.manual_seed(0)
x = torch.randn(512, 64) @ torch.randn(64, 64)
config = {
    "trainer": BatchTopKTrainer, "steps": 100, "activation_dim": 64, "dict_size": 256, "k": 8,
    "layer": 0, "lm_name": "none", "device": "cpu", "warmup_steps": 2,
}
batches = iter([x[torch.randperm(512)[:128]] for _ in range(101)])
trainSAE(batches, [config], steps=100, save_dir="out", device="cpu")
sae = BatchTopKSAE.from_pretrained("out/trainer_0/ae.pt")
with torch.no_grad():
    plain = float((sae.encode(x) > 0).sum() / len(x))
    chosen = float((sae.encode(x, use_threshold=False) > 0).sum() / len(x))
print(f"threshold in the file: {float(sae.threshold)}")
print(f"k is 8; active on average: {plain:.1f}")
print(f"with use_threshold=False: {chosen:.1f}")
sys.exit(0 if float(sae.threshold) == -1.0 and plain > 40 and chosen < 9 else 1)
PY
