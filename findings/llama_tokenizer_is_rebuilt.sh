#!/usr/bin/env bash
# transformers 5.23.0, tokenizers: a LlamaTokenizer is rebuilt from its vocabulary.
#
# Expected: AutoTokenizer reads a folder's tokenizer.json as it is, and save_pretrained writes the
#   same tokenizer again.
# Observed: where tokenizer_config.json says LlamaTokenizer, normalizer and pre-tokenizer of
#   tokenizer.json (Prepend and Replace, as Llama 2 was published) give way to a Metaspace
#   pre-tokenizer. A text that begins with a blank gets other tokens than those of the file, and
#   save_pretrained writes the changed tokenizer.
#
# Output seen on 2026-11-30:
#   'a dog': the file [1, 319, 298, 269], the library [1, 319, 298, 269]
#   ' a dog': the file [1, 318, 286, 298, 269], the library [1, 319, 298, 269]
#   saved again: normalizer NoneType, pre-tokenizer Metaspace
#
# Exits with 1 if that changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install --quiet 'torch==2.13.0' 'transformers==5.23.0'
cd "$work"
"$work/env/bin/python" - <<'PY'
import json
import sys
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, normalizers, processors, trainers
from transformers import AutoTokenizer

folder = Path("model")
folder.mkdir()
text = ["Once upon a time there was a dog.", "def f(x):  return x", "hello world hello"] * 50
own = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
own.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
own.decoder = decoders.Sequence(
    [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
)
names = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=names, show_progress=False)
own.train_from_iterator(text, trainer)
settings = json.loads(own.to_str())
settings["added_tokens"] = settings["added_tokens"][:3]  # bytes are no special tokens
own = Tokenizer.from_str(json.dumps(settings))
own.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
own.save(str(folder / "tokenizer.json"))
config = {
    "tokenizer_class": "LlamaTokenizer", "bos_token": "<s>", "eos_token": "</s>",
    "unk_token": "<unk>", "add_bos_token": True,
}
(folder / "tokenizer_config.json").write_text(json.dumps(config))
(folder / "config.json").write_text(json.dumps({"model_type": "llama"}))

library = AutoTokenizer.from_pretrained(folder)
pairs = {text: (own.encode(text).ids, library(text).input_ids) for text in ("a dog", " a dog")}
for text, (file, given) in pairs.items():
    print(f"{text!r}: the file {file}, the library {given}")
library.save_pretrained("saved")
saved = Tokenizer.from_file("saved/tokenizer.json")
kinds = type(saved.normalizer).__name__, type(saved.pre_tokenizer).__name__
print(f"saved again: normalizer {kinds[0]}, pre-tokenizer {kinds[1]}")
alike = [file == given for file, given in pairs.values()]
sys.exit(0 if alike == [True, False] and kinds == ("NoneType", "Metaspace") else 1)
PY
