"""Making the deeper demo: a model of three layers, ten moments of its training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tokenizers import Tokenizer
from tqdm import tqdm
from transformers import GPT2LMHeadModel

from app.errors import InvalidRequest
from app.settings import Settings
from sae_core.text.corpus import standard_library
from sae_core.text.tokenized import tokenize
from sae_core.training.demo_model import LossPoint, ModelConfig, save_model, train_model

DEEP_MODEL = ModelConfig(
    n_layers=3,
    tied=True,
    steps=14_650,
    learning_rate=3e-3,
    horizon=20_000,
)
MOMENTS = (64, 256, 512, 1_024, 2_048, 4_096, 6_144, 9_216, 12_288)
"""Steps after which the model is kept besides; the finished one is the tenth."""


def train_deep_model(settings: Settings, demo: Path, seed: int = 0) -> None:
    """Train the model into `demo/deep/model`, and `demo/deep/step-N` for each of MOMENTS.

    It goes on where it was stopped. Its tokenizer is that of the one-layer demo, so that both read
    one text alike.

    Args:
        settings: home folder and device.
        demo: folder of the demo, with its one-layer model.
        seed: of initial weights and rows.

    Raises:
        InvalidRequest: there is no one-layer model yet.
    """
    tokenizer_file = demo / "model" / "tokenizer.json"
    if not tokenizer_file.is_file():
        raise InvalidRequest(
            f"{tokenizer_file} is missing: make the demo there without --deep first."
        )
    out, config = demo / "deep", replace(DEEP_MODEL, seed=seed)
    work = settings.home / "demo-train"
    work.mkdir(parents=True, exist_ok=True)
    tokenizer: Tokenizer = Tokenizer.from_file(str(tokenizer_file))
    corpus = tokenize(standard_library(), tokenizer, settings.home / "corpora")

    def keep(step: int, model: GPT2LMHeadModel) -> None:
        save_model(model, tokenizer, out / f"step-{step}")

    with tqdm(total=config.steps, desc="training the deeper model", unit="step") as bar:

        def show(point: LossPoint) -> None:
            bar.update(point.step - bar.n)
            bar.set_postfix(loss=f"{point.loss:.3f}", tokens_s=f"{point.tokens_per_second:,.0f}")

        model, _ = train_model(
            *(corpus, config, work / "deep.ckpt", settings.device, show),
            on_moment=keep,
            moments=MOMENTS,
        )
    save_model(model, tokenizer, out / "model")
