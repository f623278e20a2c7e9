"""Token bytes of byte-level and SentencePiece-style tokenizers."""

from __future__ import annotations

from tokenizers import Tokenizer, decoders, models, pre_tokenizers

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
