"""`featurescope add` against the bare loop: `python -m benchmarks.adding MODEL SAE TEXT [TOKENS]`.

Adds a dictionary over a million tokens in a process of its own: from nothing to published pages,
its imports and the encoding of the text included. Then the same tokens in the same batches through
the model up to the hook point and through the dictionary, and nothing else. A text that is too
short is continued with copies of its documents under numbered headings, for equal documents are
read once.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from sae_core.dictionaries.checkpoint import load_dictionary
from sae_core.dictionaries.dictionary import Dictionary
from sae_core.dictionaries.screening import screened
from sae_core.harvest.harvest import HarvestPlan, plan_harvest
from sae_core.language_model.model import LanguageModel, load_model
from sae_core.text.corpus import open_corpus
from sae_core.text.reading import TextReading, read
from sae_core.text.tokenized import Windows

N_CTX = 128


@dataclass(frozen=True)
class Result:
    """What was measured, in seconds.

    Attributes:
        n_tokens: text tokens.
        sizes: d_in and d_sae.
        add: the command from start to end.
        bare: forward and encode alone, with the encoder that harvests.
        dense: the same with a plain dense encoder.
    """

    n_tokens: int
    sizes: tuple[int, int]
    add: float
    bare: float
    dense: float


def measure(model_path: Path, sae: Path, text: Path, n_tokens: int) -> Result:
    model = load_model(model_path)
    dictionary = load_dictionary(sae)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        corpus = lengthened(model, text, n_tokens, home / "texts.jsonl")
        command = [
            *(sys.executable, "-m", "app", "add", "--model", str(model_path)),
            *("--sae", str(sae), "--corpus", str(corpus)),
            *("--tokens", str(n_tokens)),
        ]
        environment = {**os.environ, "FEATURESCOPE_HOME": str(home / "home")}
        begin = time.perf_counter()
        subprocess.run(command, env=environment, check=True)
        add = time.perf_counter() - begin
        tokens = read(TextReading(str(corpus), n_tokens=n_tokens), model, N_CTX, home / "corpora")
        plan = plan_harvest(Windows(tokens, N_CTX, model.vocabulary.bos), n_tokens)
        bare = loop(model, dictionary, plan, fast=True)
        dense = loop(model, dictionary, plan, fast=False)
        sizes = (dictionary.d_in, dictionary.d_sae)
        return Result(plan.n_tokens, sizes, add, bare, dense)


def lengthened(model: LanguageModel, text: Path, n_tokens: int, path: Path) -> Path:
    documents = list(open_corpus(str(text)).documents())
    total = sum(len(model.tokenizer.encode(d.text).ids) for d in documents)
    copies = -(-n_tokens // total)
    with path.open("w") as stream:
        for copy in range(copies):
            heading = f"Part {copy + 1}.\n" if copy else ""
            for document in documents:
                stream.write(json.dumps({"text": heading + document.text}) + "\n")
    return path


@torch.inference_mode()
def loop(model: LanguageModel, dictionary: Dictionary, plan: HarvestPlan, fast: bool) -> float:
    hook_point = model.hook_point(dictionary.hook_point)
    encoder = screened(dictionary) if fast else dictionary
    begin = time.perf_counter()
    for number in range(plan.n_batches):
        tokens, mask = plan.windows.gather(plan.batch(number))
        x = model.capture(torch.from_numpy(tokens), hook_point)
        encoder.encode_sparse(x[torch.from_numpy(mask)])
    return time.perf_counter() - begin


def main() -> None:
    words = sys.argv[1:]
    if len(words) not in (3, 4):
        raise SystemExit(__doc__)
    n_tokens = int(words[3]) if len(words) == 4 else 1_000_000
    found = measure(*map(Path, words[:3]), n_tokens)
    print(f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads")
    print(f"{found.n_tokens:,} tokens, {found.sizes[0]} -> {found.sizes[1]}")
    for name in ("add", "bare", "dense"):
        seconds = getattr(found, name)
        print(f"{name:6} {seconds:8.1f} s  {found.n_tokens / seconds:10,.0f} tokens/s")
    print(f"add takes {found.add / found.bare:.2f} times the bare loop")
    print(f"add takes {found.add / found.dense:.2f} times the dense loop")


if __name__ == "__main__":
    main()
