"""What a rater sees: the study with how far everybody is, and one item of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from app.errors import InvalidRequest, NotFound
from app.pages.rate.drawing import DrawnSheet, draw_sheet
from app.pages.rate.results import RaterProgress, progress
from app.rendering.addresses import study_address
from app.store.types.ratings import (
    HIGHEST_TOTAL,
    RUBRIC,
    NewRating,
    RatingItem,
    RatingView,
    RubricScores,
    StudyView,
    in_order,
)
from app.store.written.ratings import latest
from app.store.written.texts import LONGEST_AUTHOR, LONGEST_NOTE
from app.web.site import Site
from sae_core.harvest.blinding import blind_sheet

GONE = (
    "The store no longer has what this item was drawn from, so that nothing can be shown of it. "
    "What was said of it is kept; skip it."
)


@dataclass(frozen=True)
class StudyPage:
    """A study as one rater sees it.

    Attributes:
        view: as stored.
        rater: who reads it; empty: not said.
        order: its items in the rater's order.
        own: the rater's ratings that count, by item.
        unblinded: whether the reader has seen its results.
        raters: how far everybody is, where that is shown.
        problem: why what was sent could not be kept; empty: it was.
    """

    view: StudyView
    rater: str
    order: tuple[RatingItem, ...]
    own: Mapping[str, RatingView]
    unblinded: bool
    raters: Sequence[RaterProgress] = ()
    problem: str = ""

    longest_author = LONGEST_AUTHOR

    @property
    def open(self) -> list[RatingItem]:
        """Items that the rater has neither rated nor skipped."""
        return [item for item in self.order if item.id not in self.own]

    @property
    def rated(self) -> int:
        """Items that the rater has rated."""
        return sum(rating.scores is not None for rating in self.own.values())

    @property
    def skipped(self) -> int:
        """Items that the rater has passed over."""
        return len(self.own) - self.rated

    @property
    def finished(self) -> bool:
        """Whether the rater has said something of every item."""
        return bool(self.rater) and not self.open

    @property
    def address(self) -> str:
        """Of the study."""
        return study_address(self.view.id)

    def item_address(self, item: RatingItem) -> str:
        """Of an item's page."""
        return study_address(self.view.id, "items", item.id)

    def next_open(self, after: str = "") -> RatingItem | None:
        """The next item that is open, in the rater's order from one on and round; None: none."""
        ids = [item.id for item in self.order]
        start = ids.index(after) + 1 if after in ids else 0
        turned = [*self.order[start:], *self.order[:start]]
        return next((item for item in turned if item.id not in self.own), None)


@dataclass(frozen=True)
class ItemPage:
    """An item as one rater sees it.

    Attributes:
        study: it belongs to.
        item: as stored; nothing of it but its id is shown.
        sheet: what is shown of the feature; None: its dictionary is gone.
        typed: what was sent and not kept, by field.
        problem: why it was not kept; empty: it was, or nothing was sent.
        notice: what became of what was sent, where that needs saying.
    """

    study: StudyPage
    item: RatingItem
    sheet: DrawnSheet | None
    typed: Mapping[str, str] = field(default_factory=dict)
    problem: str = ""
    notice: str = ""

    rubric = RUBRIC
    highest = HIGHEST_TOTAL
    longest = LONGEST_NOTE
    longest_author = LONGEST_AUTHOR
    gone = GONE

    @property
    def own(self) -> RatingView | None:
        """The rater's rating that counts; None: there is none."""
        return self.study.own.get(self.item.id)

    @property
    def number(self) -> int:
        """The item's place in the rater's order, from 1."""
        return 1 + [item.id for item in self.study.order].index(self.item.id)

    def neighbour(self, step: int) -> str:
        """The address of the item before (-1) or after (1); empty at either end."""
        place = self.number - 1 + step
        order = self.study.order
        return self.study.item_address(order[place]) if 0 <= place < len(order) else ""

    def chosen(self, key: str) -> str:
        """What is marked for a criterion; empty: nothing."""
        if self.typed:
            return self.typed.get(key, "")
        own = self.own
        return "" if own is None or own.scores is None else str(getattr(own.scores, key))

    @property
    def interpretation(self) -> str:
        """What stands in the field."""
        if self.typed:
            return self.typed.get("interpretation", "")
        return "" if self.own is None else self.own.interpretation

    @property
    def seen(self) -> str:
        """The id of the rating that this page shows; empty: none."""
        return "" if self.own is None else self.own.id


def study_page(
    site: Site, study: str, rater: str, problem: str = "", everybody: bool = False
) -> StudyPage:
    """A study as this rater sees it; `everybody`: and how far all raters are.

    Raises:
        NotFound: there is no such study.
    """
    view = site.store.ratings.study(study)
    own = site.store.ratings.all_of(study, rater) if rater else []
    return StudyPage(
        view=view,
        rater=rater,
        order=tuple(in_order(site.store.ratings.items(study), rater)),
        own={item: rating for (item, _), rating in latest(own).items()},
        unblinded=bool(rater) and site.store.ratings.unblinded(study, rater) is not None,
        raters=progress(site.store, view) if everybody else (),
        problem=problem,
    )


def item_page(site: Site, study: str, item: str, rater: str) -> ItemPage:
    """An item as this rater sees it.

    Raises:
        NotFound: there is no such study or item.
    """
    page = study_page(site, study, rater)
    own = find_item(page, item)
    shown = site.store.ratings.feature(page.view, own)
    if shown is None or not shown.record.groups:
        return ItemPage(page, own, None)
    sheet = blind_sheet(shown.record, shown.windows, page.view.every_mark)
    return ItemPage(page, own, draw_sheet(sheet, site.typeset(shown.dictionary)))


def find_item(page: StudyPage, item: str) -> RatingItem:
    """An item of a study.

    Raises:
        NotFound: it has none of that id.
    """
    for own in page.order:
        if own.id == item:
            return own
    raise NotFound(f"The study has no item {item!r:.80}.")


def rating_of_form(form: Mapping[str, str]) -> NewRating:
    """A rating as the page's form sends it.

    Raises:
        InvalidRequest: a criterion is missing, or no number of its range.
    """
    scores = None
    if form.get("do") != "skip":
        answers = []
        for criterion in RUBRIC:
            written = form.get(criterion.key, "")
            known = [str(value) for value in range(criterion.highest + 1)]
            if written not in known:
                raise InvalidRequest(
                    f"{criterion.name} needs a number from 0 to {criterion.highest}"
                    + (f", not {written!r:.40}." if written else "; or skip the item."),
                    criterion.key,
                )
            answers.append(int(written))
        scores = RubricScores(*answers)
    return NewRating(form.get("rater", ""), scores, form.get("interpretation", ""))
