"""What is kept of a feature's rule: frozen values without torch."""

from __future__ import annotations

from dataclasses import dataclass

from sae_core.rules.predicate import Predicate

ABOVE = 0.02
"""The largest p-value of a rule that counts as above its null.

The comparisons are a sample: of 99, the second largest is passed by at most one in twenty of all
such features with 95 % confidence (a tolerance limit, Wilks 1941); of a larger share than 0.02 that
could not be said.
"""


@dataclass(frozen=True)
class RuleFigure:
    """A figure on held-out documents, with its 95 % interval over documents.

    Attributes:
        value: the figure; None where it is a share of nothing.
        low: the interval's lower end; None: fewer than five documents, or no figure.
        high: its upper end.
    """

    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class RuleTest:
    """How well a rule says where a feature fires, in documents that it was not learnt from.

    Attributes:
        f1: harmonic mean of precision and recall.
        precision: of the tokens where the rule holds, the share on which the feature fires.
        recall: of the tokens on which it fires, the share where the rule holds.
        correlation: Pearson's, of the rule (0 or 1) with the activation, over all tokens.
        firings: tokens of these documents on which the feature fires.
        covered: tokens where the rule holds.
    """

    f1: RuleFigure
    precision: RuleFigure
    recall: RuleFigure
    correlation: RuleFigure
    firings: int
    covered: int


@dataclass(frozen=True)
class NullTest:
    """The same learner on shuffled firings of features about as frequent.

    Attributes:
        median: of their rules' F1 on held-out documents.
        threshold: the F1 that a rule must exceed to be above its null; None: there are too few.
        count: how many there are.
        p_value: share of them and of the rule itself that reach the rule's F1.
    """

    median: float
    threshold: float | None
    count: int
    p_value: float

    @property
    def above(self) -> bool:
        """Whether the rule is above its null."""
        return self.p_value <= ABOVE


@dataclass(frozen=True)
class RuleRecord:
    """The rule of one feature.

    Attributes:
        index: the feature's index in its dictionary.
        predicate: what the rule says; None: there is none.
        sentence: the same in words; where there is no rule, why not.
        test: its figures; None: there is no rule.
        token: the single token that describes the firings best; None: there is none.
        token_f1: F1 of that token alone.
        null: what chance reaches; None: there is no rule.
        documents: held-out documents that it was tested on.
        tokens: their tokens.
    """

    index: int
    predicate: Predicate | None
    sentence: str
    test: RuleTest | None
    token: int | None
    token_f1: RuleFigure
    null: NullTest | None
    documents: int
    tokens: int

    @property
    def above(self) -> bool:
        """Whether there is a rule, and above its null."""
        return self.null is not None and self.null.above

    @property
    def f1(self) -> float:
        """To sort by: 0 without a rule."""
        return (self.test.f1.value or 0.0) if self.test else 0.0
