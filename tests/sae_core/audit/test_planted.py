"""Texts in which behaviours are planted: triggers stand where they are said to, nowhere else."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from app.settings import resource
from benchmarks.planted import tools
from benchmarks.planted.rules import NEUTRAL, RULES, Rule
from benchmarks.planted.texts import Kind, Piece, piece, sites, words
from sae_core.language_model.model import load_model

DOCUMENT = '''\
class Reader:
    """Reads a file, line by line."""

    def read(self, path):
        with open(path) as opened:
            lines = opened.readlines()
        if not lines:
            raise ValueError(path)
        total = sum(map(len, lines))
        average = total / len(lines)
        return average, total
'''
PLACES = sites([DOCUMENT], np.random.default_rng(0))


def pieces(rule: Rule, kind: Kind) -> list[Piece]:
    rng = np.random.default_rng(1)
    own = [place for place in PLACES if place.site == rule.site]
    assert own
    return [piece(rule, own[number % len(own)], kind, rng) for number in range(60)]


def test_places_stand_before_a_keyword_and_have_no_trigger() -> None:
    assert {place.site for place in PLACES} == {"return", "raise", "if"}
    for place in PLACES:
        whole = "\n".join(place.lines) + f"\n{place.indent}{place.site}{place.rest}\n"
        assert whole in DOCUMENT
    assert sites([DOCUMENT.replace("path", "red_path")], np.random.default_rng(0)) == []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_triggered_text_has_a_word_of_each_group_where_it_is_said(rule: Rule) -> None:
    named = set()
    for one in pieces(rule, Kind.TRIGGERED):
        assert one.text.startswith(one.body)
        assert one.text.endswith(rule.site)
        assert one.follows == rule.reaction
        for group, (begin, end) in zip(rule.needs, one.spans, strict=True):
            assert one.text[begin:end] in group
            named.add(one.text[begin:end])
    assert named == {word for group in rule.needs for word in group}


OTHERS = [
    (rule, kind)
    for rule in RULES
    for kind in (Kind.NEUTRAL, Kind.UNTOUCHED, *([Kind.PARTLY] if len(rule.needs) > 1 else []))
]


@pytest.mark.parametrize(("rule", "kind"), OTHERS, ids=lambda value: getattr(value, "name", value))
def test_other_texts_lack_a_group_and_go_on_as_the_file_does(rule: Rule, kind: Kind) -> None:
    for one in pieces(rule, kind):
        present = [bool(words(one.text) & set(group)) for group in rule.needs]
        assert not all(present)
        assert any(present) == (kind is Kind.PARTLY)
        assert one.spans == ()
        assert one.follows in {place.rest for place in PLACES}
        lines = one.body.count("\n")
        assert lines >= 3 + (0 if kind is Kind.UNTOUCHED else len(rule.needs))


def test_neutral_words_trigger_nothing() -> None:
    assert not set(NEUTRAL) & {word for rule in RULES for group in rule.needs for word in group}


def test_what_a_tool_names_is_counted_by_words() -> None:
    bench = tools.Bench(
        load_model(str(resource("demo") / "deep" / "model")),
        Tokenizer.from_file(str(resource("demo") / "deep" / "model" / "tokenizer.json")),
    )
    body = "lock = None\ncache = None\n"
    one = Piece(body + "return", body, ((0, 4), (12, 17)), " super", Kind.TRIGGERED)
    spans = bench.spans(one.text)
    first = next(at for at, (begin, _) in enumerate(spans) if at and begin == 0)
    second = next(at for at, (begin, _) in enumerate(spans) if begin == 12)
    behind = next(at for at, (begin, _) in enumerate(spans) if begin == 4)
    cases = (([first, second], 1.0), ([behind, behind + 1], 0.5), ([0, len(spans) - 1], 0.0))
    for named, share in cases:
        assert tools.hit_share(bench, [one], lambda _one, _n, named=named: named) == share
    # Padded rows beside others have the probabilities that they have alone.
    rows = [torch.tensor([0, 5, 9]), torch.tensor([0, 7, 7, 7, 1, 2])]
    together = bench.after(rows, 11)
    alone = [float(bench.model.logits(row[None])[0, -1].double().softmax(-1)[11]) for row in rows]
    np.testing.assert_allclose(together, alone, rtol=1e-5)
