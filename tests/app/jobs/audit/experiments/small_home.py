"""A home in which small experiments run: its plan, its prompts, and what it leaves."""

from __future__ import annotations

import shutil
from pathlib import Path

from app.settings import Settings
from app.store.store import open_store

POST = "blocks.1.mlp.hook_post"
PROMPTS = [f"def fox_{n}(dog{'s' * (n % 4)}):" for n in range(32)]
PLAN = """
name = "foxes"
dictionary = "tiny/neurons"
prompts = "prompts.jsonl"
samples = 2
tokens = 6
neutral_texts = 8
[[arms]]
features = [5]
strengths = [1, 8]
[[arms]]
ablate = [7]
controls = 0
[[arms]]
list = "busy"
method = "scale"
strengths = [3.0]
controls = 2
[[arms]]
contrast = "foxes-against-code"
strengths = [2]
[[outcomes]]
words = ["fox"]
[[outcomes]]
pattern = "[a-f]"
[[outcomes]]
answer_field = "target"
against = [" jumps"]
[[outcomes]]
measure = "length"
[[outcomes]]
measure = "repetition"
[[outcomes]]
name = "never"
words = ["nowhere to be found"]
"""


def result_of(home: Path) -> Path:
    (path,) = (home / "home").glob("experiments/*/result-*.json")
    return path


def forget_all(home: Path) -> None:
    shutil.rmtree(home / "home" / "experiments", ignore_errors=True)
    with open_store(Settings(home=home / "home")) as store:
        for line in store.audit.experiments.all():
            store.audit.experiments.forget(line.name)
