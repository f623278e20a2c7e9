"""Texts that the model writes while a feature is pushed: evidence of what the feature does."""

from __future__ import annotations

import torch

from app.jobs.explain.material import Subject
from app.jobs.explain.text_pool import TextPool
from sae_core.errors import SteeringError
from sae_core.interventions.generation import STEERED, generate
from sae_core.interventions.next_token import TokenSampling
from sae_core.interventions.steering import FeatureEdit, Mode
from sae_core.language_model.model import LanguageModel

N_TEXTS = 6
N_TOKENS = 30
N_PROMPT = 8
STRENGTH = 0.5  # of the feature's maximum: most texts are still coherent there


def steered_texts(
    model: LanguageModel, pool: TextPool, subject: Subject, strength: float, seed: int
) -> list[str]:
    """Continuations of beginnings of documents, the feature added to at every token.

    The beginnings are not part of the texts. Texts that drive the model out of its numbers are left
    out.
    """
    edit = FeatureEdit(subject.dictionary, subject.feature, Mode.ADD, strength, subject.maximum)
    texts = []
    for number, place in enumerate(pool.places(seed)[:N_TEXTS].tolist()):
        prompt = torch.tensor(pool.beginning(place, N_PROMPT))
        sampling = TokenSampling(temperature=1.0, top_p=1.0, top_k=0, seed=seed + number)
        try:
            steps = list(generate(model, prompt, [edit], N_TOKENS, sampling))
        except SteeringError:
            continue
        texts.append("".join(d.text for step in steps for d in step if d.row == STEERED))
    return [text for text in texts if text.strip()]
