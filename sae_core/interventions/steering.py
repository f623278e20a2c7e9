"""Steering: features' directions written into the activations of some rows of a batch.

With s the strength, m_f the feature's maximum, d_f its decoder row, u_f = d_f / |d_f|, and a_f(x)
its activation, an edit changes the activation x at its dictionary's hook point:

    add:    x + s m_f d_f                         Turner et al. 2023 (arXiv:2308.10248)
    clamp:  x + (s m_f - a_f(x)) d_f              Templeton et al. 2024, Scaling Monosemanticity;
                                                  the feature reads s m_f; s = 0 is ablation
    scale:  x + (s - 1) a_f(x) d_f                likewise, by a factor
    cap:    x + min(0, s m_f |d_f| - x·u_f) u_f   the projection is at most that of s m_f d_f;
                                                  a projection that is no larger is left as it is,
                                                  bit for bit (Lu et al. 2026, arXiv:2601.10387,
                                                  cap from below; the sign of d_f is the choice)
    remove: x - s (x·u_f) u_f                     s = 1: Arditi et al. 2024 (arXiv:2406.11717)

Cap and remove look at the direction alone, not at whether the feature fires.

Several edits add up: those at one hook point all read the x that arrives there. A transcoder's edit
changes the activation y that it writes: y + s m_f d_f, and so on, with a_f(x) of what it reads in
the same pass; x itself is left as it is. Of one layer of a cross-layer transcoder, the edit changes
what is written in each later block as well, by what the feature writes there and with the same
a_f(x). Special tokens (BOS, padding) are never edited. A neutral
edit is no edit: nothing is computed for it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import StrEnum

import torch
from torch import Tensor

from sae_core.dictionaries.dictionary import Dictionary
from sae_core.dictionaries.places import Places, places_of
from sae_core.errors import SteeringError
from sae_core.interventions.prompt import check_feature
from sae_core.language_model.hook_point import HookPoint
from sae_core.language_model.model import LanguageModel
from sae_core.language_model.module_hooks import keep

Touch = Callable[[Tensor], Tensor]


class Mode(StrEnum):
    """How a feature's direction is written; the module says what each one does."""

    ADD = "add"
    CLAMP = "clamp"
    SCALE = "scale"
    CAP = "cap"
    REMOVE = "remove"


@dataclass(frozen=True)
class FeatureEdit:
    """One feature, steered: x + (constant + slope a_f(x)) d_f, and what is done by projection.

    Attributes:
        dictionary: the one that the feature belongs to.
        feature: index in the dictionary.
        mode: how its direction is written.
        strength: in multiples of the maximum; in mode scale, of what the feature reads, in mode
            remove, of the projection.
        maximum: the feature's largest activation, model units.
    """

    dictionary: Dictionary
    feature: int
    mode: Mode
    strength: float
    maximum: float

    def __post_init__(self) -> None:
        check_feature(self.dictionary, self.feature)
        if not math.isfinite(self.strength * self.maximum):
            raise SteeringError(
                f"Feature {self.feature} cannot be steered by {self.strength:g} times its maximum "
                f"of {self.maximum:g}: the product is no finite number."
            )

    @property
    def constant(self) -> float:
        """What is added whatever the feature reads, in units of its activation."""
        return self.strength * self.maximum if self.mode in (Mode.ADD, Mode.CLAMP) else 0.0

    @property
    def slope(self) -> float:
        """What is added for each unit that the feature reads."""
        if self.mode is Mode.SCALE:
            return self.strength - 1.0
        return -1.0 if self.mode is Mode.CLAMP else 0.0

    @property
    def share(self) -> float:
        """How much of the projection is taken away."""
        return self.strength if self.mode is Mode.REMOVE else 0.0

    @property
    def cap(self) -> float:
        """The largest projection that is left, in units of the feature's activation."""
        return self.strength * self.maximum if self.mode is Mode.CAP else math.inf

    @property
    def is_neutral(self) -> bool:
        """Whether it changes nothing, whatever the activation."""
        return self.constant == 0 and self.slope == 0 and self.share == 0 and self.cap == math.inf


class Steering:
    """The edits of each row of a batch.

    A row without edits in force passes every hook point byte for byte.

    Attributes:
        model: the language model that is steered.
        rows: the edits in force in each row of the batch.
        plain: numbers of the rows without edits.
        begin: the first position that is edited.
        spared: positions from there on that are not edited.
    """

    def __init__(
        self,
        model: LanguageModel,
        rows: Sequence[Sequence[FeatureEdit]],
        begin: int = 0,
        spared: frozenset[int] = frozenset(),
    ) -> None:
        """Resolve the edits' hook points.

        Raises:
            HookPointError: model and dictionary do not belong together.
        """
        self.model = model
        self.rows = tuple(tuple(edit for edit in row if not edit.is_neutral) for row in rows)
        self.plain = [number for number, row in enumerate(self.rows) if not row]
        self.begin = begin
        self.spared = spared
        used = dict.fromkeys(edit.dictionary for row in self.rows for edit in row)
        places = {dictionary: places_of(model, dictionary) for dictionary in used}
        points = dict.fromkeys(point for place in places.values() for point in place.written)
        # What is read at a hook point other than the edited one, while a pass runs.
        self._seen: dict[HookPoint, list[Tensor]] = {}
        self._points = [_EditedPoint(point, self.rows, places, self._seen) for point in points]

    @contextmanager
    def applied(self, tokens: Sequence[Sequence[int]], position: int) -> Iterator[None]:
        """Within the block, forward passes over these tokens are edited.

        Args:
            tokens: ids, [rows, pos].
            position: the first token's position in its text.
        """
        length = len(tokens[0])
        special = self.model.vocabulary.special
        here: Sequence[int] = range(max(0, self.begin - position), length)
        if self.spared:
            here = [n for n in here if n + position not in self.spared]
        editable = [[n for n in here if ids[n] not in special] for ids in tokens]
        with ExitStack() as stack:
            reads: dict[HookPoint, None] = {}
            for point in self._points:
                places = tuple(row * length + n for row in point.rows for n in editable[row])
                if places:
                    edit = point.editing(places, length)
                    stack.enter_context(self.model.replaced(point.hook_point, edit))
                    reads |= dict.fromkeys(point.elsewhere)
            # Last, so that a transcoder reads what another edit made of its input.
            for read in reads:
                kept = self._seen[read] = []
                stack.enter_context(self.model.touching(read.layer, read.kind, keep(kept)))
            yield


class _EditedPoint:
    """All edits at one hook point, in a table of rows by features.

    Attributes:
        hook_point: where in the model these edits are made.
        rows: numbers of the rows that have edits here.
        elsewhere: other hook points whose activations the edits read.
    """

    def __init__(
        self,
        hook_point: HookPoint,
        rows: Sequence[Sequence[FeatureEdit]],
        places: Mapping[Dictionary, Places],
        seen: Mapping[HookPoint, Sequence[Tensor]],
    ) -> None:
        """Sort out the edits that are made here.

        Args:
            hook_point: where in the model.
            rows: the edits in force in each row of the batch.
            places: of all their dictionaries.
            seen: what the pass that runs has at the hook points `elsewhere`.
        """
        self.hook_point = hook_point
        self._seen = seen
        here = [
            (number, edit)
            for number, row in enumerate(rows)
            for edit in row
            if hook_point in places[edit.dictionary].written
        ]
        self.rows = list(dict.fromkeys(number for number, _ in here))
        # Each steered feature is one column; edits of the same feature in a row add up.
        features = dict.fromkeys((edit.dictionary, edit.feature) for _, edit in here)
        columns = {feature: column for column, feature in enumerate(features)}
        # [n_features, d_out]
        self._directions = torch.stack(
            [d.written_row(index, places[d].written.index(hook_point)) for d, index in features]
        )
        self._constants = self._directions.new_zeros(len(rows), len(columns))
        self._slopes = torch.zeros_like(self._constants)
        self._shares = torch.zeros_like(self._constants)
        self._caps = torch.full_like(self._constants, math.inf)
        for number, edit in here:
            column = columns[edit.dictionary, edit.feature]
            self._constants[number, column] += edit.constant
            self._slopes[number, column] += edit.slope
            self._shares[number, column] += edit.share
            self._caps[number, column].clamp_(max=edit.cap)
        self._projects = any(edit.mode in (Mode.CAP, Mode.REMOVE) for _, edit in here)
        # x @ these: the projection in units of the feature's activation, x·d / |d|², [d_out, n].
        lengths = self._directions.double().square().sum(dim=1, keepdim=True)
        self._duals = (self._directions / lengths.clamp(min=1e-30)).to(self._directions.dtype).T
        # Only these need the activation, which costs far more than all the rest.
        self._read = [
            (column, dictionary, feature, places[dictionary].read)
            for (dictionary, feature), column in columns.items()
            if self._slopes[:, column].any()
        ]
        self.elsewhere = [point for *_, point in self._read if point != hook_point]
        self._last: tuple[tuple[tuple[int, ...], int], Touch] | None = None

    def editing(self, places: tuple[int, ...], length: int) -> Touch:
        """The edit of a batch's activations [rows, pos, d_in].

        Args:
            places: the positions to edit, counted through the flattened batch [rows * pos].
            length: positions in each row of the batch.
        """
        # While a text grows by one token at a time this is the same edit again and again.
        key = (places, length)
        if self._last is None or self._last[0] != key:
            self._last = (key, self._editing(*key))
        return self._last[1]

    def _editing(self, places: tuple[int, ...], length: int) -> Touch:
        """As `editing`, made anew."""
        at = torch.tensor(places, device=self._directions.device)
        rows = at // length
        constants, slopes = self._constants[rows], self._slopes[rows]
        written = constants @ self._directions

        def add(x: Tensor) -> Tensor:
            flat = x.flatten(0, 1)
            return flat.index_copy(0, at, (flat[at] + written).to(x.dtype)).view_as(x)

        def read_and_add(x: Tensor) -> Tensor:
            flat = x.flatten(0, 1)
            own = flat[at]
            amounts = constants.clone()
            for column, dictionary, feature, point in self._read:
                read = own if point == self.hook_point else self._read_at(point, at)
                amounts[:, column] += slopes[:, column] * dictionary.encode_feature(read, feature)
            if self._projects:
                amounts += self._projected(own, rows)
            new = own + amounts @ self._directions
            if self._projects:
                # A projection below its cap is left as it is, to the last bit.
                new = torch.where((amounts != 0).any(dim=1, keepdim=True), new, own)
            return flat.index_copy(0, at, new.to(x.dtype)).view_as(x)

        return read_and_add if self._read or self._projects else add

    def _projected(self, x: Tensor, rows: Tensor) -> Tensor:
        """By how much each direction changes for what x [n, d_out] is along it, [n, n_features]."""
        along = x.to(self._duals.dtype) @ self._duals
        return (self._caps[rows] - along).clamp(max=0.0) - self._shares[rows] * along

    def _read_at(self, point: HookPoint, at: Tensor) -> Tensor:
        """What this pass has at another hook point, at some positions of the flattened batch,
        [n, d_in]."""
        return self._seen[point][-1].flatten(0, 1)[at]
