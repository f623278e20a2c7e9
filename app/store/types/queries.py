"""What pages ask of a feature table: frozen values, no queries of the database."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from app.errors import InvalidRequest
from sae_core.language_model.vocabulary import Vocabulary

Sort = Literal["index", "density", "maximum", "effect", "rule", "found", "label"]
SORTS: tuple[Sort, ...] = ("index", "density", "maximum", "effect", "rule", "found", "label")

MOST_PER_PAGE = 500


@dataclass(frozen=True)
class TokenPattern:
    """Tokens of a vocabulary, by what was typed.

    Attributes:
        typed: as it was typed.
        spellings: what that may stand for, at least one, none of them empty: bytes that a token
            contains in whatever ASCII case, or, if `whole`, consists of.
        whole: whether the token must be just that.
    """

    typed: str
    spellings: tuple[bytes, ...]
    whole: bool = False

    def matching(self, vocabulary: Vocabulary) -> list[int]:
        """Ids of the tokens that fit, special ones left out, ascending."""
        if self.whole:
            fit = [i for i, piece in enumerate(vocabulary.pieces) if piece in self.spellings]
        else:
            parts = [spelling.lower() for spelling in self.spellings]
            pieces = enumerate(piece.lower() for piece in vocabulary.pieces)
            fit = [i for i, piece in pieces if any(part in piece for part in parts)]
        return [token for token in fit if token not in vocabulary.special]


@dataclass(frozen=True)
class FeatureQuery:
    """One page of a feature table. Equal keys follow each other by index, upwards.

    Attributes:
        sort: what to order by.
        descending: whether the largest comes first.
        alive: True: only features that fire; False: only dead ones; None: all.
        page: from 1.
        per_page: rows on a page.
        search: keep features whose label contains this, in whatever ASCII case; empty: all.
        fires_on: keep features that have such a token among the ten that they fire on most; None:
            all.
        above_null: keep features whose rule is above its null.
        found: keep features that were found in at least so many other dictionaries; 0: all.
    """

    sort: Sort = "index"
    descending: bool = False
    alive: bool | None = None
    page: int = 1
    per_page: int = 50
    search: str = ""
    fires_on: TokenPattern | None = None
    above_null: bool = False
    found: int = 0

    def check(self) -> None:
        """Refuse what no table could answer.

        Raises:
            InvalidRequest: an unknown key, a page below one, too many rows.
        """
        if self.sort not in SORTS:
            raise InvalidRequest(
                f"Features cannot be sorted by {self.sort!r}; choose {', '.join(SORTS)}."
            )
        if self.page < 1:
            raise InvalidRequest(f"Pages count from 1; there is no page {self.page}.")
        if not 1 <= self.per_page <= MOST_PER_PAGE:
            raise InvalidRequest(f"A page has 1 to {MOST_PER_PAGE} rows, not {self.per_page}.")

    def check_known(self, title: str, effects: bool, rules: bool, compared: bool) -> None:
        """Refuse what a dictionary's table cannot answer.

        Args:
            title: of the dictionary.
            effects: whether the mean effects of its features were computed.
            rules: whether rules were learnt for them.
            compared: whether they were looked for in other dictionaries.

        Raises:
            InvalidRequest: what is asked for is not known.
        """
        if self.sort == "effect" and not effects:
            raise InvalidRequest(
                f"The mean effects of {title} were not computed: give its `featurescope harvest` "
                "again with --ablate."
            )
        if (self.sort == "rule" or self.above_null) and not rules:
            raise InvalidRequest(
                f"No rules were learnt for {title}: give its `featurescope harvest` again."
            )
        if (self.sort == "found" or self.found) and not compared:
            raise InvalidRequest(
                f"{title} was not compared with other dictionaries of its hook point: "
                "`featurescope compare` does that."
            )
