"""Token bytes of byte-level and SentencePiece-style tokenizers."""

from __future__ import annotations

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from sae_core.language_model.vocabulary import read_vocabulary
from tests.sae_core.tiny_models import D_VOCAB, END, tiny_tokenizer

HOSTILE = "naïve 你好 🙂\n\t<script>\u202e\x00 \u200b end"


def test_byte_level_pieces_join_to_the_text() -> None:
    tokenizer = tiny_tokenizer()
    vocabulary = read_vocabulary(tokenizer, D_VOCAB, bos=0)
    ids = tokenizer.encode(HOSTILE).ids
    assert b"".join(vocabulary.pieces[i] for i in ids) == HOSTILE.encode()
    assert vocabulary.pieces[0] == END.encode()
    assert 0 in vocabulary.special
    newline = tokenizer.encode("\n").ids[0]
    assert vocabulary.newlines[newline] == 1


def test_every_single_byte_has_a_token() -> None:
    vocabulary = read_vocabulary(tiny_tokenizer(), D_VOCAB, bos=0)
    singles = {piece for piece in vocabulary.pieces if len(piece) == 1}
    assert singles == {bytes([b]) for b in range(256)}


def test_sentencepiece_pieces_and_byte_fallback() -> None:
    pieces = {"<unk>": 0, "<s>": 1, "<0x0A>": 2, "▁the": 3, "▁": 4, "é": 5}
    tokenizer = Tokenizer(models.BPE(vocab=pieces, merges=[], byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace()])
    tokenizer.add_special_tokens(["<s>"])
    vocabulary = read_vocabulary(tokenizer, d_vocab=8, bos=1)
    assert vocabulary.pieces[2:6] == (b"\n", b" the", b" ", "é".encode())
    assert vocabulary.pieces[6] == b"<unused 6>"
    assert vocabulary.special == {1, 6, 7}
    assert vocabulary.is_special.tolist() == [False, True, False, False, False, False, True, True]


SENTENCE = "the dog saw the doghouse, and naps."
LINES = [SENTENCE, "a dog and a house", "dogs nap, houses do not"] * 3


def _trained(model: str) -> Tokenizer:
    if model == "words":
        tokenizer = Tokenizer(models.WordLevel(unk_token="[UNK]"))
        trainer = trainers.WordLevelTrainer(special_tokens=["[UNK]"], show_progress=False)
    elif model == "pieces":
        tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        tokenizer.decoder = decoders.WordPiece(prefix="##")
        trainer = trainers.WordPieceTrainer(
            vocab_size=60, special_tokens=["[UNK]"], show_progress=False
        )
    else:
        tokenizer = Tokenizer(models.BPE(unk_token="[UNK]", end_of_word_suffix="</w>"))
        tokenizer.decoder = decoders.BPEDecoder(suffix="</w>")
        trainer = trainers.BpeTrainer(
            vocab_size=60,
            special_tokens=["[UNK]"],
            end_of_word_suffix="</w>",
            show_progress=False,
        )
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.train_from_iterator(LINES, trainer)
    return tokenizer


@pytest.mark.parametrize("model", ["words", "pieces", "endings"])
def test_pieces_put_together_read_as_the_tokenizer_s_own_decoder(model: str) -> None:
    tokenizer = _trained(model)
    vocabulary = read_vocabulary(tokenizer, tokenizer.get_vocab_size(), None)
    ids = tokenizer.encode(SENTENCE).ids
    joined = b"".join(vocabulary.pieces[i] for i in ids).decode()
    assert joined.strip() == tokenizer.decode(ids)
    assert "##" not in joined
    assert "</w>" not in joined


def test_pieces_that_a_user_added_to_sentencepiece_are_text_too() -> None:
    pieces = {"<unk>": 0, "<s>": 1, "▁the": 2, "x": 3}
    tokenizer = Tokenizer(models.BPE(vocab=pieces, merges=[], byte_fallback=True))
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    tokenizer.add_special_tokens(["<s>"])
    tokenizer.add_tokens(["▁▁", "<0xC3>", "<0xA9>"])
    vocabulary = read_vocabulary(tokenizer, d_vocab=7, bos=1)
    assert vocabulary.pieces[4:7] == (b"  ", b"\xc3", b"\xa9")
    assert b"".join(vocabulary.pieces[i] for i in (2, 4, 5, 6)).decode() == " the  é"
