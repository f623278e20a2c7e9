"""A tiny encoder: vectors of length 1, the same alone and in a batch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from sae_core.errors import ModelError
from sae_core.meaning.sentence_model import SentenceModel, find_sentence_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sentences") / "model"
    words = ["[PAD]", "[UNK]", "a", "feature", "fires", "on", "sockets", "and", "dogs"]
    made = Tokenizer(models.WordLevel({w: n for n, w in enumerate(words)}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="[PAD]", unk_token="[UNK]"
    ).save_pretrained(path)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
    )
    BertModel(config).save_pretrained(path)
    return path


def test_a_text_has_one_vector_alone_and_among_others(folder: Path) -> None:
    model = SentenceModel(folder)
    texts = ["a feature", "a feature fires on sockets and dogs and sockets", "dogs"]
    vectors = model.encode(texts)
    assert vectors.shape == (3, 16)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    for text, vector in zip(texts, vectors, strict=True):
        np.testing.assert_allclose(model.encode([text])[0], vector, atol=1e-5)


def test_what_is_no_model_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no sentence-embedding model"):
        SentenceModel(tmp_path)
    assert find_sentence_model(str(tmp_path)) == tmp_path
