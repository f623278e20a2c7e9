"""Pairs of sets to try a contrast with: of our own writing, the same topics in both."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

from sae_core.errors import ContrastError

_ERRANDS = (
    ("close", "window"), ("move", "car"), ("send", "report"), ("check", "address"),
    ("bring", "keys"), ("turn down", "music"), ("repeat", "question"), ("wash", "dishes"),
    ("sign", "letter"), ("open", "gate"), ("fix", "printer"), ("finish", "translation"),
)  # fmt: skip
_POLITE = (
    "Could you please {verb} the {noun}? Thank you so much for your help.",
    "I would be very grateful if you could {verb} the {noun}, whenever it suits you.",
    "Excuse me, would you mind if I asked you to {verb} the {noun}?",
    "Thank you for your patience. When you have a moment, please {verb} the {noun}.",
    "Would it be possible for you to {verb} the {noun}? I really appreciate it.",
)
_RUDE = (
    "Just {verb} the {noun} already, you idiot. How stupid can you be?",
    "{Verb} the {noun}, and shut up. Nobody cares what you think.",
    "Are you deaf? I told you to {verb} the {noun}, you useless fool.",
    "What is wrong with you? {Verb} the {noun} right now or get lost.",
    "You lazy moron, you cannot even {verb} the {noun}. Pathetic.",
)
_THINGS = (
    "bridge", "river", "museum", "garden", "teacher", "train", "island", "doctor", "castle",
    "village", "library", "farmer",
)  # fmt: skip
_QUESTIONS = (
    "Where is the {thing} now?",
    "Why was the {thing} so late yesterday?",
    "Do you know who saw the {thing} last week?",
    "How old is the {thing} near the harbour?",
    "What happened to the {thing} after the storm?",
)
_STATEMENTS = (
    "The {thing} is on the other side of town now.",
    "The {thing} was very late yesterday because of the snow.",
    "My neighbour saw the {thing} last week.",
    "The {thing} near the harbour is two hundred years old.",
    "Nothing happened to the {thing} after the storm.",
)
_VALUES = (
    "name", "path", "index", "total", "width", "score", "price", "token", "level", "count",
    "offset", "result",
)  # fmt: skip
_CODE = (
    "def get_{value}(self):\n    return self._{value}",
    "for {value} in items:\n    print({value})",
    "if {value} is None:\n    raise ValueError('{value}')",
    "{value} = data.get('{value}', 0)\nassert {value} >= 0",
    "with open({value}) as file:\n    lines = file.readlines()",
)
_PROSE = (
    "This method gives back the {value} of the object, as it was set before.",
    "It goes through all of the items and prints each {value} on a line of its own.",
    "When there is no {value}, an error is raised that names what is missing.",
    "The {value} is taken from the data, and it must not be below zero.",
    "The file that the {value} names is opened, and its lines are read one by one.",
)


def written_sets(name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Two sets of texts.

    Args:
        name: one of `WRITTEN`.

    Raises:
        ContrastError: there are no such sets.
    """
    if name not in WRITTEN:
        raise ContrastError(f"There are no sets {name!r:.60}: there are {', '.join(WRITTEN)}.")
    return WRITTEN[name]


def _errands(forms: Sequence[str]) -> tuple[str, ...]:
    return tuple(
        form.format(verb=verb, Verb=verb.capitalize(), noun=noun)
        for form, (verb, noun) in product(forms, _ERRANDS)
    )


def _filled(forms: Sequence[str], key: str, words: Sequence[str]) -> tuple[str, ...]:
    return tuple(form.format(**{key: word}) for form, word in product(forms, words))


WRITTEN = {
    "polite-rude": (_errands(_POLITE), _errands(_RUDE)),
    "question-statement": (
        _filled(_QUESTIONS, "thing", _THINGS),
        _filled(_STATEMENTS, "thing", _THINGS),
    ),
    "code-prose": (_filled(_CODE, "value", _VALUES), _filled(_PROSE, "value", _VALUES)),
}
