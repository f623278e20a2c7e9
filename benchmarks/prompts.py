"""A prompt of 100 tokens, end to end: `python -m benchmarks prompts`, about a minute.

Asks a server of its own for prompts that nobody asked for before, as a page and as JSON. Then holds
the activations in the JSON against plain `transformers` and the dictionary's equation, computed
from its file in float64 without any of our own code.
"""

from __future__ import annotations

import json
import os
import platform
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file

from app.settings import read_settings
from app.store.store import open_store
from benchmarks.ablation import DEFAULT, alive_features, copy_without_effects
from benchmarks.served import serving

N_PROMPTS = 60
N_COMPARED = 20
N_TOKENS = 100
DIFFERENCE_AT_MOST = 1e-5


@dataclass(frozen=True)
class Result:
    """What was measured.

    Attributes:
        page_ms: from the request for a page to its last byte.
        json_ms: of the same as JSON, all features with their names.
        difference: largest deviation of an activation, model units.
        compared: activations behind it, zeros included.
    """

    page_ms: tuple[float, ...]
    json_ms: tuple[float, ...]
    difference: float
    compared: int

    def report(self) -> str:
        """Lines for the README."""
        page, answer = (
            f"p50 {np.percentile(times, 50):.0f} ms, p95 {np.percentile(times, 95):.0f} ms"
            for times in (self.page_ms, self.json_ms)
        )
        return "\n".join(
            [
                f"prompts, {DEFAULT}, {len(self.page_ms)} prompts of {N_TOKENS} tokens, "
                f"{os.cpu_count()} cores, {platform.machine()}",
                f"  page of the active features, over HTTP: {page}",
                f"  all activations as JSON, over HTTP:     {answer}",
                f"  largest difference from an independent forward and encode: "
                f"{self.difference:.1e} over {self.compared:,} activations "
                f"(at most {DIFFERENCE_AT_MOST:.0e})",
            ]
        )


def main() -> int:
    """Measure and print; 1 where a promise was not kept."""
    result = measure()
    print(result.report())
    return int(result.difference > DIFFERENCE_AT_MOST)


def measure() -> Result:
    """Measure the demo."""
    model, _, name = DEFAULT.partition("/")
    with tempfile.TemporaryDirectory() as folder:
        copied = copy_without_effects(read_settings(), Path(folder))
        with open_store(copied, upgrade=False) as store:
            dictionary = store.dictionary(model, name)
            pieces = store.vocabulary(dictionary.model_id).pieces
            prompts = []
            for index in alive_features(store, dictionary, 4 * N_PROMPTS):
                for window in store.feature(dictionary, index).windows.values():
                    if len(window.tokens) > N_TOKENS:
                        prompts.append(window.tokens[:N_TOKENS].tolist())
                        break
        texts = [
            b"".join(pieces[token] for token in prompt[1:]).decode("utf-8", "replace")
            for prompt in prompts[: N_PROMPTS + 1]
        ]
        with serving(copied) as served:
            http = served.http
            page = f"/m/{model}/prompt"
            # Until the worker has started, the page says so with a status of its own.
            while http.get(page, params={"text": texts[0], "d": name}).status_code != 200:
                time.sleep(0.2)
            page_ms = [
                timed(lambda text=text: http.get(page, params={"text": text, "d": name}))[0]
                for text in texts[1:]
            ]
            answers = []
            for prompt in prompts[:N_PROMPTS]:
                # Other ids than the texts': nothing is remembered.
                question = {"prompt": [prompt[0], *reversed(prompt[1:])], "dictionaries": [name]}
                path = f"/api/v1/m/{model}/activations"
                answers.append(timed(lambda q=question, p=path: http.post(p, json=q)))
        read = [answer.json() for _, answer in answers[:N_COMPARED]]
        difference, compared = compare(
            Path(dictionary.model_path), Path(str(dictionary.path)), read
        )
    return Result(tuple(page_ms), tuple(ms for ms, _ in answers), difference, compared)


def timed(ask: Callable[[], httpx.Response]) -> tuple[float, httpx.Response]:
    """Milliseconds until the answer is complete, and the answer."""
    began = time.perf_counter()
    answer = ask()
    took = 1000 * (time.perf_counter() - began)
    if answer.status_code != 200:
        raise SystemExit(f"{answer.url} answered {answer.status_code}.")
    return took, answer


def compare(model_path: Path, folder: Path, answers: list[dict[str, Any]]) -> tuple[float, int]:
    """Largest difference from a forward pass and an encode that share no code with ours."""
    from transformers import AutoModelForCausalLM

    model: Any = AutoModelForCausalLM.from_pretrained(model_path, dtype=torch.float64)
    weights = {
        key: w.astype(np.float64)
        for key, w in load_file(folder / "sae_weights.safetensors").items()
    }
    config = json.loads((folder / "cfg.json").read_text())
    seen: list[NDArray[np.float64]] = []
    model.transformer.h[0].mlp.act.register_forward_hook(
        lambda _m, _i, output: seen.append(output[0].detach().numpy())
    )
    largest, compared = 0.0, 0
    for answer in answers:
        tokens = [token["id"] for token in answer["tokens"]]
        with torch.no_grad():
            model(torch.tensor([tokens]))
        x = seen.pop()
        if config["apply_b_dec_to_input"]:
            x = x - weights["b_dec"]
        pre = x @ weights["W_enc"] + weights["b_enc"]
        kth = np.sort(pre, axis=1)[:, -config["k"], None]
        wanted = np.where(pre >= kth, np.maximum(pre, 0.0), 0.0)
        wanted[0] = 0.0  # BOS never counts
        found = np.zeros_like(wanted)
        for feature in answer["dictionaries"][0]["features"]:
            found[feature["positions"], feature["index"]] = feature["values"]
        largest = max(largest, float(np.abs(found - wanted).max()))
        compared += wanted.size
    return largest, compared


if __name__ == "__main__":
    raise SystemExit(main())
