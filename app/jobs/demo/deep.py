"""Making the deeper demo: a model of three layers, ten moments of its training."""

from __future__ import annotations

from pathlib import Path

from tokenizers import Tokenizer
from tqdm import tqdm
from transformers import GPT2LMHeadModel

from app.settings import Settings
from sae_core.demo_model import LossPoint, ModelConfig, save_model, train_model
from sae_core.text.corpus import standard_library
from sae_core.text.tokenized import tokenize

DEEP_MODEL = ModelConfig(
    n_layers=3,
    tied=True,
    steps=14_650,
    learning_rate=3e-3,
    horizon=20_000,
)
MOMENTS = (64, 256, 512, 1_024, 2_048, 4_096, 6_144, 9_216, 12_288)
"""Steps after which the model is kept besides; the finished one is the tenth."""


def train_deep_model(settings: Settings, tokenizer_file: Path, out: Path) -> list[LossPoint]:
    """Train the model into `out/model`, and `out/step-N` for each of MOMENTS.

    It goes on where it was stopped. Its tokenizer is that of the one-layer demo, so that both read
    one text alike.

    Args:
        settings: home folder and device.
        tokenizer_file: a `tokenizer.json`.
        out: folder to write.
    """
    work = settings.home / "demo-train"
    work.mkdir(parents=True, exist_ok=True)
    tokenizer: Tokenizer = Tokenizer.from_file(str(tokenizer_file))
    corpus = tokenize(standard_library(), tokenizer, settings.home / "corpora")

    def keep(step: int, model: GPT2LMHeadModel) -> None:
        save_model(model, tokenizer, out / f"step-{step}")

    with tqdm(total=DEEP_MODEL.steps, desc="training the deeper model", unit="step") as bar:

        def show(point: LossPoint) -> None:
            bar.update(point.step - bar.n)
            bar.set_postfix(loss=f"{point.loss:.3f}", tokens_s=f"{point.tokens_per_second:,.0f}")

        model, curve = train_model(
            *(corpus, DEEP_MODEL, work / "deep.ckpt", settings.device, show),
            on_moment=keep,
            moments=MOMENTS,
        )
    save_model(model, tokenizer, out / "model")
    return curve
