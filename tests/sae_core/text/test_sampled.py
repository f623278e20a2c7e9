"""Texts that a model writes: what is given stands, what is drawn follows, turns come in order."""

from __future__ import annotations

import torch

from sae_core.language_model.model import LanguageModel
from sae_core.text.sampled import Drawing, Opening, sample_texts

EVERY_TOKEN = Drawing(temperature=1.0, top_k=64, top_p=1.0)


def written(
    model: LanguageModel, openings: list[Opening], n: int, drawing: Drawing = EVERY_TOKEN
) -> list[str]:
    draw = torch.Generator().manual_seed(0)
    return sample_texts(model, openings, n, draw, drawing)


def test_a_text_begins_as_it_was_opened(relu_model: LanguageModel) -> None:
    openings = [Opening("a", "x", "def f("), Opening("b", "", "import os, sys, re")]
    texts = written(relu_model, openings, 24)
    assert texts == written(relu_model, openings, 24)
    for opening, text in zip(openings, texts, strict=True):
        assert text.startswith(opening.text)
        assert len(text) > len(opening.text)


def test_the_likeliest_token_is_the_models_own(relu_model: LanguageModel) -> None:
    only_best = Drawing(top_k=1)
    opening = Opening("a", "", "import os")
    (text,) = written(relu_model, [opening], 12, only_best)
    tokens = relu_model.tokenizer.encode(opening.text, add_special_tokens=False).ids
    special = sorted(relu_model.vocabulary.special - {relu_model.eos})
    while len(tokens) < 12:
        logits = relu_model.logits(torch.tensor([tokens]))[0, -1]
        logits[special] = -torch.inf
        if (token := int(logits.argmax())) == relu_model.eos:
            break
        tokens.append(token)
    assert text == relu_model.tokenizer.decode(tokens, skip_special_tokens=False)


def test_after_the_end_of_a_turn_comes_the_next(
    relu_model: LanguageModel, monkeypatch: object
) -> None:
    end = relu_model.eos
    assert end is not None
    name = relu_model.vocabulary.pieces[end].decode()

    def always_the_end(hidden: torch.Tensor) -> torch.Tensor:
        logits = torch.zeros(len(hidden), relu_model.d_vocab)
        logits[:, end] = 1e4
        return logits

    monkeypatch.setattr("sae_core.text.sampled.head", lambda _: always_the_end)  # type: ignore[attr-defined]
    chat = Opening("chat", "", "user", ("again", "more"))
    plain = Opening("text", "", "plain text")
    assert written(relu_model, [chat, plain], 60) == [
        f"user{name}again{name}more{name}",
        "plain text",
    ]
