"""The learner against counts made plainly, and against features whose rule is known."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from sae_core.rules import learner as module
from sae_core.rules import token_sets
from sae_core.rules.attributes import NEIGHBOURS
from sae_core.rules.flags import FLAG_NUMBER, bit_counts
from sae_core.rules.learner import RuleLearner
from sae_core.rules.places import RuleText
from sae_core.rules.predicate import Clause, Condition, FlagCondition, Predicate, TokenCondition
from tests.sae_core.rules import texts

TEXT = texts.random_text(11, 240, 400)


def _fires(predicate: Predicate, text: RuleText = TEXT) -> np.ndarray:
    return np.flatnonzero(predicate.holds(text.attributes)[: text.learnt.end])


def _agreement(learnt: Predicate, true: Predicate, text: RuleText = TEXT) -> float:
    """F1 of one against the other, on the held-out half."""
    a = learnt.holds(text.attributes)[text.held_out.begin :]
    b = true.holds(text.attributes)[text.held_out.begin :]
    return 2 * float((a & b).sum()) / max(1, a.sum() + b.sum())


def test_totals_are_counts() -> None:
    columns = TEXT.attributes.neighbours[:, : TEXT.learnt.end]
    flags = TEXT.attributes.flags[: TEXT.learnt.end]
    for where in range(len(NEIGHBOURS)):
        for token in (1, 4, 17, texts.D_VOCAB):
            here = columns[where] == token
            assert TEXT.totals[where, token] == here.sum()
            for name in ("token:digits", "previous:lower", "place:early"):
                bit = np.uint64(1) << np.uint64(FLAG_NUMBER[name])
                held = int((here & (flags & bit != 0)).sum())
                assert TEXT.with_flags[FLAG_NUMBER[name], where, token] == held


@pytest.mark.parametrize(
    "given",
    [
        (TokenCondition("token", (1, 4, 17)),),
        (TokenCondition("following", (2, 9)),),
        (FlagCondition("token:digits"),),
        (FlagCondition("place:early", False),),
        (TokenCondition("previous", (1, 4, 6)), FlagCondition("place:early", False)),
    ],
    ids=lambda given: Clause(given).__repr__()[:60],
)
def test_totals_beside_conditions_are_counts(given: tuple[Condition, ...]) -> None:
    there = Clause(given).holds(TEXT.attributes)
    there[TEXT.learnt.end :] = False
    totals = TEXT.given_totals(given, len(there))
    assert totals.n == there.sum()
    assert totals.flags.tolist() == bit_counts(TEXT.attributes.flags[there]).tolist()
    ids = np.arange(texts.D_VOCAB)
    for where, column in enumerate(TEXT.attributes.neighbours):
        if NEIGHBOURS[where] not in [getattr(c, "where", None) for c in given]:
            counts = np.bincount(column[there], minlength=texts.D_VOCAB + 1)
            assert totals.of_tokens(where, ids).tolist() == counts[:-1].tolist()


@pytest.mark.parametrize("n", [1, 5, 4_000])
def test_frequent_tokens_are_the_same_however_they_are_counted(n: int) -> None:
    around = TEXT.around[:n]
    at, counts = TEXT.frequent(around, 2)
    expected = {}
    for where, column in enumerate(around.T):
        for token, count in enumerate(np.bincount(column)):
            if count >= 2 and token != texts.D_VOCAB:
                expected[where * (texts.D_VOCAB + 1) + token] = count
    assert dict(zip(at.tolist(), counts.tolist(), strict=True)) == expected


def test_flagged_places_are_those_where_a_clause_holds() -> None:
    for clause in (
        Clause((FlagCondition("place:string"), FlagCondition("token:lower", False))),
        Clause((FlagCondition("place:early", False),)),
        Clause(()),
    ):
        for half in (TEXT.learnt, TEXT.held_out):
            holds = clause.holds(TEXT.attributes)[half.begin : half.end]
            places = TEXT.clause_places(clause, half)
            assert places.tolist() == (np.flatnonzero(holds) + half.begin).tolist()


def test_halves_hold_whole_documents_and_all_tokens() -> None:
    documents = TEXT.attributes.documents
    learnt = set(documents[: TEXT.learnt.end].tolist())
    held_out = set(documents[TEXT.held_out.begin :].tolist())
    assert not learnt & held_out
    assert len(learnt) == TEXT.learnt.n_documents == TEXT.held_out.n_documents
    assert sorted(TEXT.place_of.tolist()) == list(range(len(TEXT.attributes)))
    other = texts.random_text(11, 240, 400)
    assert (other.place_of == TEXT.place_of).all()


@pytest.mark.parametrize("weight", [1.0, 16.0])
def test_the_best_set_is_the_best_of_all_sets(
    weight: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_sets, "MOST_IN_SET", 3)
    monkeypatch.setattr(token_sets, "total", sum)
    random = np.random.default_rng(4)
    for _ in range(60):
        totals = random.integers(1, 40, 8).astype(float)
        hits = np.minimum(totals, random.integers(0, 20, 8)).astype(float)
        before, n = float(random.integers(0, 10)), 60.0
        base = weight * n + before * 2

        def value(at: tuple[int, ...], hits=hits, totals=totals, before=before, base=base) -> float:
            chosen = list(at)
            return (1 + weight) * (hits[chosen].sum() + before) / (base + totals[chosen].sum())

        every = [c for k in range(4) for c in combinations(range(8), k)]
        best = max(map(value, every))
        chosen = token_sets.best_set(hits.tolist(), totals.tolist(), before, base, weight)
        assert len(chosen) <= 3
        assert value(tuple(chosen)) == pytest.approx(best, rel=1e-9)


PLANTED = [
    Predicate((Clause((TokenCondition("token", (9,)),)),)),
    Predicate((Clause((TokenCondition("token", (4, 7, 20)),)),)),
    Predicate((Clause((TokenCondition("previous", (6,)),)),)),
    Predicate((Clause((TokenCondition("following", (3,)),)),)),
    Predicate((Clause((TokenCondition("token", (1,)), TokenCondition("previous", (2,)))),)),
    Predicate((Clause((TokenCondition("token", (1,)), TokenCondition("before", (4,)))),)),
    Predicate((Clause((FlagCondition("token:digits"),)),)),
    Predicate((Clause((FlagCondition("place:string"),)),)),
    Predicate((Clause((FlagCondition("place:string"), TokenCondition("token", (4, 6)))),)),
    Predicate((Clause((TokenCondition("token", (3,)), FlagCondition("place:early", False))),)),
    Predicate((Clause((FlagCondition("place:first"),)),)),
    Predicate(
        (
            Clause((TokenCondition("token", (12,)),)),
            Clause((TokenCondition("token", (2,)), TokenCondition("previous", (1,)))),
        )
    ),
]


@pytest.mark.parametrize("true", PLANTED, ids=lambda p: p.to_json())
def test_a_planted_rule_is_learnt(true: Predicate) -> None:
    learnt = RuleLearner(TEXT).learn(_fires(true))
    assert _agreement(learnt, true) > 0.97, learnt


def test_a_planted_rule_is_learnt_where_one_firing_in_five_is_noise() -> None:
    random = np.random.default_rng(8)
    true = PLANTED[1]
    places = _fires(true)
    places = places[random.random(len(places)) > 0.1]
    noise = random.choice(TEXT.learnt.end, len(places) // 10, replace=False)
    learnt = RuleLearner(TEXT).learn(np.union1d(places, noise))
    assert _agreement(learnt, true) > 0.97


def test_many_firings_are_counted_on_a_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "COUNTED", 500)
    for true in PLANTED[:8]:
        learnt = RuleLearner(TEXT).learn(_fires(true))
        assert _agreement(learnt, true) > 0.95


def test_the_best_token_is_the_best_of_all() -> None:
    places = _fires(PLANTED[11])
    fires = set(places.tolist())
    own = TEXT.attributes.neighbours[0, : TEXT.learnt.end].tolist()
    scores = {}
    for token in set(own):
        at = [n for n, t in enumerate(own) if t == token]
        scores[token] = 2 * len(fires.intersection(at)) / (len(at) + len(fires))
    assert RuleLearner(TEXT).best_token(places) == max(scores, key=lambda t: scores[t])


def test_a_rule_has_few_conditions_and_nothing_is_kept_between_features() -> None:
    random = np.random.default_rng(9)
    learner = RuleLearner(TEXT)
    for n in (0, 1, 7, 8, 100, TEXT.learnt.end):
        places = np.sort(random.choice(TEXT.learnt.end, n, replace=False))
        first = learner.learn(places)
        assert first.n_conditions <= sum(module.MOST_IN_CLAUSE)
        assert RuleLearner(TEXT).learn(places) == first
        if n < module.FEWEST_FIRINGS:
            assert first == Predicate(())
    assert not learner._named.any()
