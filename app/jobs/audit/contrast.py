"""Contrasting two sets of texts, and keeping what tells them apart."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from tqdm import tqdm

from app.errors import InvalidRequest
from app.store.store import Store
from app.store.types.annotations import ListView
from app.store.types.catalogue import DictionaryView
from app.store.written.audit.contrasts.records import ContrastRecord, ContrastView, TextSet
from app.worker.client.references import dictionary_ref, model_ref, opens_with_bos
from app.worker.process.jobs.registry import default_threads
from app.worker.process.limits import Limits
from app.worker.process.shelf import Shelf
from sae_core.audit.contrast.pooling import pooled_steps
from sae_core.audit.contrast.sets import (
    FEWEST_TEXTS,
    PooledTexts,
    TellingFeature,
    contrast_sets,
)

METHOD = 1
"""Counted up when contrasts come out differently: what was asked before is then computed anew."""
MOST_TEXTS = 2_000  # of a set
MOST_CHARACTERS = 2**21  # of a set: pages and copies of the store hold all of them
LONGEST_TEXT = 20_000  # characters


@dataclass(frozen=True)
class ContrastSpec:
    """What is asked for.

    Attributes:
        dictionary: whose features are tested.
        title: what the contrast is called.
        first: one set of texts.
        second: the other.
        wanted_q: share of false discoveries that is allowed.
        most: features that are looked at on the second half.
        seed: of the halves.
    """

    dictionary: DictionaryView
    title: str
    first: TextSet
    second: TextSet
    wanted_q: float = 0.05
    most: int = 50
    seed: int = 0

    @property
    def settings(self) -> dict[str, float]:
        """What decides it besides the texts and the dictionary."""
        return {"wanted_q": self.wanted_q, "most": self.most, "seed": self.seed}

    @property
    def question(self) -> str:
        """SHA-256 of all that decides the contrast."""
        view = self.dictionary
        asked = {
            "method": METHOD,
            "model": [view.model, view.model_checksum, view.model_dtype, opens_with_bos(view)],
            "dictionary": [view.name, view.hook_point, view.checksum],
            "sets": [self.first.as_json(), self.second.as_json()],
            "settings": self.settings,
        }
        return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


def read_texts(lines: Sequence[str], name: str, as_json: bool) -> TextSet:
    """A set of texts from a file's lines, each text once; empty lines are left out.

    Args:
        lines: of the file.
        name: of the set.
        as_json: whether each is an object with "text", and "group" where it has one; otherwise it
            is the text.

    Raises:
        InvalidRequest: a line is broken, or there are too many texts, too few, or too long ones.
    """
    texts = dict[str, str]()  # with their groups
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f"Line {number} of {name!r:.80}"
        text, group = _text(line, where) if as_json else (line, "")
        if len(text) > LONGEST_TEXT:
            raise InvalidRequest(
                f"{where} has {len(text):,} characters; a text has at most {LONGEST_TEXT:,}."
            )
        if text.strip():
            texts.setdefault(text, group)
    if not FEWEST_TEXTS <= len(texts) <= MOST_TEXTS:
        raise InvalidRequest(
            f"{name!r:.80} has {len(texts):,} different texts: a set has {FEWEST_TEXTS} to "
            f"{MOST_TEXTS:,}. Half of them choose features, the others test them."
        )
    if (size := sum(map(len, texts))) > MOST_CHARACTERS:
        raise InvalidRequest(
            f"The texts of {name!r:.80} have {size:,} characters; a set has at most "
            f"{MOST_CHARACTERS:,}."
        )
    return TextSet(name, tuple(texts), tuple(texts.values()) if any(texts.values()) else ())


def find_contrast(
    store: Store, spec: ContrastSpec, device: str, threads: int | None = None
) -> ContrastView:
    """Read both sets with the model, with a bar, and test; asked before, it is there at once.

    Raises:
        ContrastError: a set has too few texts, or a text no token.
        InvalidRequest: a text is in both sets, or the dictionary was imported without its model.
    """
    if both := set(spec.first.texts) & set(spec.second.texts):
        raise InvalidRequest(
            f"{min(both)!r:.80} is in both sets: what tells them apart cannot be seen on it."
        )
    if (there := store.audit.contrasts.asked(spec.question)) is not None:
        return there
    torch.set_num_threads(threads or default_threads())
    groups = [*spec.first.of_each, *spec.second.of_each]
    made = contrast_sets(_pooled(spec, device), spec.wanted_q, spec.most, spec.seed, groups)
    view = spec.dictionary
    return store.audit.contrasts.save(
        ContrastRecord(
            model=view.model,
            dictionary=view.name,
            checksum=view.checksum,
            question=spec.question,
            title=spec.title,
            first=spec.first,
            second=spec.second,
            settings=spec.settings,
            contrast=made,
        )
    )


def keep_list(store: Store, view: ContrastView, dictionary: DictionaryView, title: str) -> ListView:
    """Put the features that tell the sets apart into a list, each with its direction in its note.

    Args:
        store: of the list.
        view: the contrast.
        dictionary: that it is of.
        title: of the list; one that is there by this title or name takes them up, too.

    Raises:
        InvalidRequest: no feature tells the sets apart, or the title is none.
    """
    record = view.record
    telling = [row for row in record.contrast.features if row.q <= record.contrast.wanted_q]
    if not telling:
        raise InvalidRequest("No feature tells the sets apart: there is nothing to put in a list.")
    lists = store.lists
    there = [own for own in lists.all() if title in (own.name, own.title) and not own.withdrawn]
    note = f"What tells {record.first.name} from {record.second.name} apart."
    kept = there[0] if there else lists.create(title, note)
    for row in telling:
        kept = lists.put(kept.name, dictionary, row.feature, item_note(view, row))
    return kept


def item_note(view: ContrastView, row: TellingFeature) -> str:
    """What a list says of a feature of a contrast."""
    side = view.record.first if row.more else view.record.second
    return (
        f"more on {side.name} ({row.pooling}): held-out AUROC {row.held_out:.3f}, q {row.q:.1g} "
        f"(/contrast/{view.name})"
    )


def _pooled(spec: ContrastSpec, device: str) -> PooledTexts:
    view = spec.dictionary
    shelf, ref = Shelf(device, Limits().memory_bytes), model_ref(view)
    model, dictionary = shelf.model(ref), shelf.dictionary(ref, dictionary_ref(view))
    steps = pooled_steps(model, dictionary, spec.first.texts, spec.second.texts)
    total = len(spec.first.texts) + len(spec.second.texts)
    with tqdm(desc=spec.title, total=total, unit="texts") as bar:
        while True:
            try:
                next(steps)
            except StopIteration as end:
                pooled: PooledTexts = end.value
                return pooled
            bar.update()


def _text(line: str, where: str) -> tuple[str, str]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"{where} is not JSON.") from error
    text = value.get("text") if isinstance(value, dict) else None
    if not isinstance(text, str):
        raise InvalidRequest(f'{where} is no object with a "text".')
    group = value.get("group", "")
    if not isinstance(group, str):
        raise InvalidRequest(f'"group" of {where[0].lower()}{where[1:]} is no text.')
    return text, group
