#!/usr/bin/env bash
# transformers 5.23.0: `transformers serve` takes "logprobs" and answers 200 without them.
#
# Expected: an OpenAI-compatible endpoint gives log-probabilities where they are asked for
#   ("logprobs": true, "top_logprobs": 5), or refuses, so that a client knows.
# Observed: the chat endpoint answers 200 with text alone; only the server's own log says that it
#   ignores the fields. Scores that need log-probabilities (simulated activations, AUROC of
#   detection) then have nothing to be computed from, and a client that reads a missing field as no
#   probability makes zeros of it.
#
# Output seen on 2026-11-30:
#   200, fields of the choice: ['finish_reason', 'index', 'message']
#
# Exits with 1 if that changes.
set -euo pipefail
work=$(mktemp -d)
server=""
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install --quiet 'torch==2.13.0' 'transformers[serving]==5.23.0' 'accelerate'
cd "$work"
export HF_HUB_OFFLINE=1 HF_HOME="$work/home"
# A chat model of random weights.
"$work/env/bin/python" - <<'PY'
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

symbols = sorted(pre_tokenizers.ByteLevel.alphabet())
vocabulary = {symbol: i for i, symbol in enumerate([*symbols, "<end>"])}
own = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
own.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
own.decoder = decoders.ByteLevel()
tokenizer = PreTrainedTokenizerFast(tokenizer_object=own, eos_token="<end>", pad_token="<end>")
tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
tokenizer.save_pretrained("model")
LlamaForCausalLM(
    LlamaConfig(
        vocab_size=len(vocabulary), hidden_size=16, intermediate_size=32, num_hidden_layers=1,
        num_attention_heads=2, num_key_value_heads=2, max_position_embeddings=256,
        eos_token_id=vocabulary["<end>"], bos_token_id=vocabulary["<end>"],
    )
).save_pretrained("model")
PY
port=$("$work/env/bin/python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$work/env/bin/transformers" serve "$work/model" --host 127.0.0.1 --port "$port" --device cpu \
  >server.log 2>&1 &
server=$!
MODEL="$work/model" PORT="$port" "$work/env/bin/python" - <<'PY'
import json
import os
import sys
import time
import urllib.error
import urllib.request

question = {
    "model": os.environ["MODEL"],
    "messages": [{"role": "user", "content": "a"}],
    "max_tokens": 4,
    "logprobs": True,
    "top_logprobs": 5,
}
request = urllib.request.Request(
    f"http://127.0.0.1:{os.environ['PORT']}/v1/chat/completions",
    json.dumps(question).encode(),
    {"Content-Type": "application/json"},
)
for _ in range(120):
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            status, answer = response.status, json.load(response)
        break
    except (urllib.error.URLError, ConnectionError):
        time.sleep(1)
else:
    sys.exit("The server did not come up.")
fields = sorted(name for name, value in answer["choices"][0].items() if value is not None)
print(f"{status}, fields of the choice: {fields}")
sys.exit(0 if status == 200 and "logprobs" not in fields else 1)
PY
