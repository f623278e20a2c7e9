#!/usr/bin/env bash
# sae-lens 6.54.12: the seed of a training's configuration seeds nothing, and torch's own seed makes
# dictionaries of different sizes begin alike.
#
# Expected: LanguageModelSAERunnerConfig(seed=1) gives the same start each time, seed=2 another; so
#   that "three seeds" are three dictionaries, and a training can be made again.
# Observed: no line of a training reads the field (only tokenizing and caching read one of that
#   name). Two runs with seed=1 begin with different decoders. With torch.manual_seed before each,
#   they begin alike, whatever `seed` says; and a dictionary of 64 features then has exactly the
#   first 64 decoder rows of one of 256, so that sizes of one seed look like splits of each other
#   before a step is made.
#
# Output seen on 2026-11-30:
#   seed=1 twice: same start False
#   torch seeded, seed=1 and seed=2: same start True
#   torch seeded, 64 and 256 features: the smaller one is the beginning of the larger True
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
from datasets import Dataset
from sae_lens import (
    LanguageModelSAERunnerConfig,
    LanguageModelSAETrainingRunner,
    LoggingConfig,
    TopKTrainingSAEConfig,
)
from transformer_lens import HookedTransformer, HookedTransformerConfig

logging.disable(logging.WARNING)
model = HookedTransformer(
    HookedTransformerConfig(
        n_layers=1, d_model=16, n_ctx=16, d_head=8, n_heads=2, d_vocab=50, act_fn="relu", device="cpu"
    )
)
text = Dataset.from_dict({"tokens": torch.randint(0, 50, (400, 16)).tolist()})


def start(seed, size, torch_seed=None):
    config = LanguageModelSAERunnerConfig(
        sae=TopKTrainingSAEConfig(d_in=16, d_sae=size, k=4),
        model_name="tiny",
        dataset_path="tiny",
        hook_name="blocks.0.hook_resid_post",
        is_dataset_tokenized=True,
        context_size=16,
        training_tokens=2048,
        streaming=False,
        seed=seed,
        device="cpu",
        checkpoint_path=None,
        logger=LoggingConfig(log_to_wandb=False),
    )
    if torch_seed is not None:
        torch.manual_seed(torch_seed)
    runner = LanguageModelSAETrainingRunner(config, override_model=model, override_dataset=text)
    return runner.sae.W_dec.detach().clone()


unseeded = torch.equal(start(1, 64), start(1, 64))
seeded = torch.equal(start(1, 64, 0), start(2, 64, 0))
nested = torch.equal(start(1, 64, 0), start(1, 256, 0)[:64])
print(f"seed=1 twice: same start {unseeded}")
print(f"torch seeded, seed=1 and seed=2: same start {seeded}")
print(f"torch seeded, 64 and 256 features: the smaller one is the beginning of the larger {nested}")
sys.exit((unseeded, seeded, nested) != (False, True, True))
PY
