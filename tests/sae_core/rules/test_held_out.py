"""Figures and intervals, against sums made plainly and documents left out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from sae_core.evaluation.document_sums import interval
from sae_core.rules import held_out as module
from sae_core.rules.held_out import HeldOutTester
from sae_core.rules.places import RuleText
from sae_core.rules.predicate import Clause, FlagCondition, Predicate, TokenCondition
from sae_core.rules.record import RuleFigure
from tests.sae_core.rules import texts

TEXT = texts.random_text(21, 60, 120)
RULE = Predicate(
    (Clause((TokenCondition("token", (1, 2, 5)),)), Clause((FlagCondition("token:digits"),)))
)


def _firings(seed: int, text: RuleText = TEXT) -> tuple[np.ndarray, np.ndarray]:
    """A feature that fires on most of what the rule says, and elsewhere."""
    random = np.random.default_rng(seed)
    holds = RULE.holds(text.attributes)
    fires = np.where(holds, random.random(len(holds)) < 0.8, random.random(len(holds)) < 0.02)
    fires[: text.held_out.begin] = False
    places = np.flatnonzero(fires)
    return places, (random.gamma(2.0, 1.0, len(places)) + holds[places]).astype(np.float32)


def _plainly(rule: np.ndarray, activation: np.ndarray) -> dict[str, float]:
    """All figures from one value a token."""
    fires = activation > 0
    hits, covered, firings = (rule & fires).sum(), rule.sum(), fires.sum()
    return {
        "f1": 2 * hits / (covered + firings),
        "precision": hits / covered,
        "recall": hits / firings,
        "correlation": np.corrcoef(rule.astype(np.float64), activation)[0, 1],
    }


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_figures_and_intervals(seed: int) -> None:
    places, values = _firings(seed)
    half = TEXT.held_out
    rule = RULE.holds(TEXT.attributes)[half.begin :]
    activation = np.zeros(half.n_tokens)
    activation[places - half.begin] = values
    test = HeldOutTester(TEXT).test(RULE, places, values)
    whole = _plainly(rule, activation)
    without = [
        _plainly(rule[half.documents != d], activation[half.documents != d])
        for d in range(half.n_documents)
    ]
    for name, value in whole.items():
        figure = getattr(test, name)
        assert figure.value == pytest.approx(value, abs=1e-9)
        ends = interval(value, np.array([w[name] for w in without]))
        assert ends is not None
        assert (figure.low, figure.high) == pytest.approx((ends[0], min(1.0, ends[1])), abs=1e-7)
    assert (test.firings, test.covered) == (len(places), int(rule.sum()))
    tester = HeldOutTester(TEXT)
    assert tester.score(RULE, places) == pytest.approx(whole["f1"])


@pytest.mark.parametrize("token", [1, 4, texts.D_VOCAB - 1])
def test_a_single_token_is_tested_as_its_rule_is(token: int) -> None:
    places, values = _firings(2)
    tester = HeldOutTester(TEXT)
    alone = Predicate((Clause((TokenCondition("token", (token,)),)),))
    for _ in range(2):  # the second time from what is kept of the token
        assert tester.token_f1(token, places) == tester.test(alone, places, values).f1


def test_very_many_documents_are_left_out_in_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    places, values = _firings(1)
    one_by_one = HeldOutTester(TEXT).test(RULE, places, values)
    monkeypatch.setattr(module, "MOST_GROUPS", 10)
    in_groups = HeldOutTester(TEXT).test(RULE, places, values)
    assert in_groups.f1.value == one_by_one.f1.value
    assert in_groups.f1.low is not None
    assert one_by_one.f1.low is not None
    assert in_groups.f1.low == pytest.approx(one_by_one.f1.low, abs=0.05)


def test_what_is_a_share_of_nothing_has_no_figure() -> None:
    tester = HeldOutTester(TEXT)
    none = np.zeros(0, np.int64), np.zeros(0, np.float32)
    nowhere = Predicate((Clause((TokenCondition("token", (texts.D_VOCAB + 1,)),)),))
    test = tester.test(nowhere, *none)
    assert test.f1 == test.precision == test.recall == test.correlation == RuleFigure(None)
    test = tester.test(RULE, *none)
    assert test.recall.value is None
    assert test.precision.value == test.f1.value == 0.0
    everywhere = Predicate((Clause(()),))
    assert tester.test(everywhere, *_firings(1)).correlation.value is None
    assert tester.score(nowhere, none[0]) == 0.0


def test_few_documents_have_no_interval() -> None:
    text = texts.random_text(5, 6, 300)
    figure = HeldOutTester(text).test(RULE, *_firings(1, text)).f1
    assert figure.value is not None
    assert figure.low is None
    assert figure.high is None
