#!/usr/bin/env bash
# eai-delphi 0.1.3: its analysis counts the scores of layers.10 as those of layers.1 as well.
#
# Expected: load_data(scores, ["layers.1", "layers.10"]) gives each excerpt of each file once, under
#   its own hook point. Such names are sparsify's for residual streams.
# Observed: files are matched by the pattern *layers.1*, which layers.10_latent3.txt fits, too. All
#   of layer 10 is counted twice, once as layer 1, and layer 1's figures are mixed with layer 10's.
#
# Output seen on 2026-11-30:
#   excerpts by hook point: {'layers.1': 4, 'layers.10': 2}
#   accuracy said for layers.1: 0.5, by its own file: 1.0
#
# Exits with 1 if that changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
# Its wheel asks for vllm and more; the analysis of scores needs only these.
"$work/env/bin/pip" install --quiet --no-deps 'eai-delphi==0.1.3'
"$work/env/bin/pip" install --quiet 'torch==2.13.0' 'numpy' 'pandas' 'plotly' 'scikit-learn' 'orjson'
cd "$work"
"$work/env/bin/python" - <<'PY'
import json
import sys
from pathlib import Path

from delphi.log.result_analysis import load_data

scores = Path("scores")
(scores / "detection").mkdir(parents=True)
for name, right in (("layers.1_latent0", True), ("layers.10_latent0", False)):
    excerpts = [
        {
            "str_tokens": ["a"],
            "activations": [float(fires)],
            "distance": 0.0,
            "activating": fires,
            "prediction": fires is right,
            "probability": None,
            "correct": right,
        }
        for fires in (True, False)
    ]
    (scores / "detection" / f"{name}.txt").write_text(json.dumps(excerpts))
frame, _ = load_data(scores, ["layers.1", "layers.10"])
excerpts = frame.groupby("module").size().to_dict()
said = float(frame[frame.module == "layers.1"].correct.astype(bool).mean())
print("excerpts by hook point:", excerpts)
print(f"accuracy said for layers.1: {said}, by its own file: 1.0")
sys.exit(0 if excerpts == {"layers.1": 4, "layers.10": 2} and said == 0.5 else 1)
PY
