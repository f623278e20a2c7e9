"""Predicates: what a token must be, and stand in, for a rule to say that a feature fires there.

A predicate is an OR of clauses, a clause an AND of conditions. A condition names tokens that must
stand at one of four places (the token itself, the two before it, the one after it), or one of the
flags that must hold or must not. Predicates are frozen values; two that say the same in the same
order are equal, and so is their JSON.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sae_core.errors import RuleError
from sae_core.rules.attributes import NEIGHBOURS, TokenAttributes
from sae_core.rules.flags import FLAG_NUMBER, FLAGS

MOST_TOKENS = 64
MOST_CONDITIONS = 16
_LONGEST_JSON = 100_000


@dataclass(frozen=True)
class TokenCondition:
    """One of some tokens stands at a place.

    Attributes:
        where: one of `NEIGHBOURS`.
        tokens: ids, ascending.
    """

    where: str
    tokens: tuple[int, ...]

    def holds(self, attributes: TokenAttributes) -> NDArray[np.bool_]:
        """For each token whether it does, [n]."""
        wanted = np.zeros(attributes.d_vocab + 1, dtype=bool)
        wanted[[t for t in self.tokens if t < attributes.d_vocab]] = True
        holds: NDArray[np.bool_] = wanted[attributes.neighbours[NEIGHBOURS.index(self.where)]]
        return holds


@dataclass(frozen=True)
class FlagCondition:
    """A flag holds, or does not.

    Attributes:
        flag: one of `FLAGS`.
        wanted: whether it must hold.
    """

    flag: str
    wanted: bool = True

    def holds(self, attributes: TokenAttributes) -> NDArray[np.bool_]:
        """For each token whether it is as wanted, [n]."""
        bit = np.uint64(1) << np.uint64(FLAG_NUMBER[self.flag])
        holds: NDArray[np.bool_] = ((attributes.flags & bit) != 0) == self.wanted
        return holds


Condition = TokenCondition | FlagCondition


@dataclass(frozen=True)
class Clause:
    """All of these conditions; without any it holds everywhere."""

    conditions: tuple[Condition, ...]

    def holds(self, attributes: TokenAttributes) -> NDArray[np.bool_]:
        """For each token whether all of them hold, [n]."""
        holds = np.ones(len(attributes), dtype=bool)
        for condition in self.conditions:
            holds &= condition.holds(attributes)
        return holds


@dataclass(frozen=True)
class Predicate:
    """Any of these clauses; without any it holds nowhere."""

    clauses: tuple[Clause, ...]

    @property
    def n_conditions(self) -> int:
        """Conditions in all clauses."""
        return sum(len(clause.conditions) for clause in self.clauses)

    def holds(self, attributes: TokenAttributes) -> NDArray[np.bool_]:
        """For each token whether the rule says that the feature fires there, [n]."""
        holds = np.zeros(len(attributes), dtype=bool)
        for clause in self.clauses:
            holds |= clause.holds(attributes)
        return holds

    def to_json(self) -> str:
        """Canonical JSON, such as `[[{"token":[5,9]},{"place:string":true}]]`."""
        clauses = [[_condition_json(c) for c in clause.conditions] for clause in self.clauses]
        return json.dumps(clauses, separators=(",", ":"))


def predicate_of_json(text: str) -> Predicate:
    """The predicate that such JSON says.

    Raises:
        RuleError: it says none, or one larger than any rule.
    """
    try:
        if len(text) > _LONGEST_JSON:
            raise ValueError("it is too long")
        clauses = json.loads(text)
        if not isinstance(clauses, list) or not all(isinstance(c, list) for c in clauses):
            raise ValueError("it is no list of lists")
        if len(clauses) > MOST_CONDITIONS or sum(map(len, clauses)) > MOST_CONDITIONS:
            raise ValueError(f"it has more than {MOST_CONDITIONS} conditions")
        return Predicate(tuple(Clause(tuple(_condition(c) for c in clause)) for clause in clauses))
    except (ValueError, RecursionError) as error:
        raise RuleError(f"This is no predicate of a rule: {error}.") from None


def _condition_json(condition: Condition) -> dict[str, Any]:
    if isinstance(condition, TokenCondition):
        return {condition.where: list(condition.tokens)}
    return {condition.flag: condition.wanted}


def _condition(raw: Any) -> Condition:
    if not isinstance(raw, dict) or len(raw) != 1:
        raise ValueError("a condition has one name and one value")
    ((name, value),) = raw.items()
    if name in NEIGHBOURS:
        known = isinstance(value, list) and 0 < len(value) <= MOST_TOKENS
        if not known or not all(type(t) is int and 0 <= t < 1 << 31 for t in value):
            raise ValueError(f"{name} needs 1 to {MOST_TOKENS} ids of tokens")
        return TokenCondition(name, tuple(sorted(set(value))))
    if name in FLAGS and isinstance(value, bool):
        return FlagCondition(name, value)
    raise ValueError(f"there is no condition {name!r:.60}")
