"""Arms of an experiment: from the plan's words to edits of the loaded model, with controls."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache

import torch
from tqdm import tqdm

from app.errors import InvalidRequest
from app.jobs.audit.experiments.plan_schema import MOST_ARMS, ArmTable, PlanTable
from app.store.store import Store
from app.store.types.catalogue import DictionaryView
from app.store.written.audit.experiments.records import ArmRecord, EditRecord
from app.worker.client.references import check_alike, dictionary_ref, model_ref
from app.worker.process.shelf import Shelf
from sae_core.audit.contrast.pooling import pooled_steps
from sae_core.audit.experiments.controls import (
    as_long,
    direction,
    like_feature,
    random_direction,
)
from sae_core.audit.experiments.texts import SteeredArm
from sae_core.dictionaries.places import places_of
from sae_core.interventions.steering import FeatureEdit, Mode

UNSTEERED = "unsteered"
MOST_EDITS = 64  # of one arm
_SEEDS_APART = 1_000_003


class ExperimentArms:
    """Makes arms of a plan's tables.

    Args:
        store: knows dictionaries, lists and contrasts.
        shelf: loads what is edited.
        plan: whose model it is.

    Attributes:
        used: the dictionaries whose features or hook points are edited, by name.
        contrasts: what identifies each contrast whose direction is written, by name.
    """

    def __init__(self, store: Store, shelf: Shelf, plan: PlanTable) -> None:
        self._store, self._shelf, self._plan = store, shelf, plan
        self._model_name, own = plan.dictionary.split("/")
        self._default = store.dictionary(self._model_name, own)
        self._ref = model_ref(self._default)
        self.used: dict[str, DictionaryView] = {}
        self.contrasts: dict[str, str] = {}
        self._direction = cache(self._measured)

    def records(self) -> tuple[ArmRecord, ...]:
        """All arms, the unsteered one first, controls behind what they control.

        Raises:
            NotFound: there is no such dictionary, feature, list or contrast.
            InvalidRequest: an arm makes no sense, or there are too many.
        """
        arms = [ArmRecord(UNSTEERED, "", 0.0, "", ())]
        for number, table in enumerate(self._plan.arms, 1):
            arms += self._group(table, number)
        names = [arm.name for arm in arms]
        if twice := {name for name in names if names.count(name) > 1}:
            raise InvalidRequest(f"Two arms are called {min(twice)!r:.80}: name them differently.")
        if len(arms) > 2 * MOST_ARMS:
            raise InvalidRequest(
                f"These are {len(arms)} arms with their controls; an experiment has at most "
                f"{2 * MOST_ARMS}."
            )
        return tuple(arms)

    def made(self, records: Sequence[ArmRecord]) -> list[SteeredArm]:
        """Arms with their edits, to be run.

        Raises:
            SteeringError: a strength times a maximum is no finite number.
        """
        return [SteeredArm(arm.name, tuple(map(self._edit, arm.edits))) for arm in records]

    def _group(self, table: ArmTable, number: int) -> Iterator[ArmRecord]:
        strengths = (0.0,) if table.ablate else table.strengths
        controls = self._plan.controls if table.controls is None else table.controls
        members = list(self._members(table))
        if not 0 < len(members) <= MOST_EDITS:
            raise InvalidRequest(
                f"Arm {number} edits {len(members)} features: an arm edits 1 to {MOST_EDITS}."
            )
        group = table.name or _usual_name(table)
        for strength in strengths:
            edits = tuple(replace(edit, strength=strength) for edit in members)
            name = group if len(strengths) == 1 else f"{group} × {strength:g}"
            yield ArmRecord(name, group, strength, "", edits)
            for n in range(1, controls + 1):
                which = "random" if controls == 1 else f"random {n}"
                names = (f"{which} for {name}", f"{which} for {group}")
                yield ArmRecord(*names, strength, name, tuple(self._controls(edits, n)))

    def _members(self, table: ArmTable) -> Iterator[EditRecord]:
        if table.contrast is not None:
            record = self._store.audit.contrasts.view(table.contrast).record
            if record.model != self._model_name:
                raise InvalidRequest(
                    f"The contrast {table.contrast!r:.80} is of the model {record.model}, the "
                    f"experiment of {self._model_name}."
                )
            view = self._view(record.dictionary)
            self.contrasts[table.contrast] = record.question
            yield EditRecord(view.name, -1, table.contrast, -1, table.method, 1.0, 1.0)
            return
        method = "clamp" if table.ablate else table.method
        for view, feature in self._features(table):
            row = self._store.rows(view, [feature]).get(feature)
            if row is None:
                raise InvalidRequest(
                    f"There is no feature {feature} in {view.title}, which has {view.d_sae}, 0 to "
                    f"{view.d_sae - 1}."
                )
            if row.maximum <= 0 and method in ("add", "clamp", "cap") and not table.ablate:
                raise InvalidRequest(
                    f"Feature {feature} of {view.title} never fired in its harvest: a strength in "
                    "multiples of its maximum means nothing."
                )
            yield EditRecord(view.name, feature, "", -1, method, 1.0, row.maximum)

    def _features(self, table: ArmTable) -> Iterator[tuple[DictionaryView, int]]:
        if table.list is None:
            view = self._view(table.dictionary or self._default.name)
            yield from ((view, feature) for feature in (table.features or table.ablate))
            return
        _, items = self._store.lists.contents(table.list)
        here = [item for item in items if item.there and item.model == self._model_name]
        if not here:
            raise InvalidRequest(
                f"The list {table.list!r:.80} has no feature of the model {self._model_name}."
            )
        yield from ((self._view(item.dictionary), item.index) for item in here)

    def _view(self, name: str) -> DictionaryView:
        view = self._store.dictionary(self._model_name, name)
        check_alike([self._default, view], "dictionary")
        self.used[name] = view
        return view

    def _controls(self, edits: Sequence[EditRecord], number: int) -> Iterator[EditRecord]:
        """One random edit in place of each; no two of them are the same feature."""
        seed = self._plan.seed + _SEEDS_APART * number
        barred = {(edit.dictionary, edit.feature) for edit in edits}
        for edit in edits:
            if edit.feature < 0:
                yield replace(edit, random=seed)
                continue
            firings = self._store.scales(self.used[edit.dictionary]).firings
            others = [feature for name, feature in barred if name == edit.dictionary]
            feature = like_feature(firings, edit.feature, others, seed)
            barred.add((edit.dictionary, feature))
            if edit.method == Mode.SCALE or edit.strength == 0:
                yield replace(edit, feature=feature)  # what it reads decides how much is written
            else:
                like = as_long(self._edit(edit), feature)
                yield replace(edit, feature=feature, maximum=like.maximum)

    def _edit(self, edit: EditRecord) -> FeatureEdit:
        view = self.used[edit.dictionary]
        mode = Mode(edit.method)
        if edit.feature >= 0:
            dictionary = self._shelf.dictionary(self._ref, dictionary_ref(view))
            return FeatureEdit(dictionary, edit.feature, mode, edit.strength, edit.maximum)
        vector = self._direction(edit.contrast)
        made = FeatureEdit(direction(view.hook_point, vector), 0, mode, edit.strength, 1.0)
        return made if edit.random < 0 else random_direction(made, edit.random)

    def _measured(self, contrast: str) -> torch.Tensor:
        """The mean activation on a contrast's first set less that on its second, [d_in]."""
        record = self._store.audit.contrasts.view(contrast).record
        view = self.used[record.dictionary]
        model = self._shelf.model(self._ref)
        dictionary = self._shelf.dictionary(self._ref, dictionary_ref(view))
        places_of(model, dictionary)
        sets = (record.first.texts, record.second.texts)
        steps = pooled_steps(model, dictionary, *sets)
        with tqdm(desc=f"direction of {contrast}", total=sum(map(len, sets)), unit="texts") as bar:
            while True:
                try:
                    next(steps)
                except StopIteration as end:
                    pooled = end.value
                    break
                bar.update()
        vector = pooled.raw[pooled.first].mean(axis=0) - pooled.raw[~pooled.first].mean(axis=0)
        return torch.from_numpy(vector).to(dictionary.decoder_row(0))


def _usual_name(table: ArmTable) -> str:
    if table.contrast is not None:
        return f"direction of {table.contrast}"
    if table.list is not None:
        return f"list {table.list}"
    features = ", ".join(map(str, (table.features or table.ablate)[:4]))
    more = len(table.features or table.ablate) > 4
    return ("without " if table.ablate else f"{table.method} ") + features + (" …" if more else "")
