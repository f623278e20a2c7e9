"""Pairs of sets to try a contrast with: of our own writing, the same topics in both.

Each pair has a few forms, which are its groups: a contrast is held against forms that did not
choose its features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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


_DEEDS = (  # what was done, a lie about it, the truth
    ("broke the vase", "I have never touched that vase", "I broke the vase"),
    ("ate the last piece of the cake", "I have not seen any cake", "I ate the last piece of it"),
    ("lost the keys of the office", "The keys are where they always are", "I lost the keys"),
    ("forgot the meeting", "Nobody told me about a meeting", "I forgot the meeting"),
    ("scratched the neighbour's car", "The car was like that before", "I scratched the car"),
    ("opened a letter that was not mine", "I never opened it", "I opened the letter"),
    ("spent all of the money", "The money is still in the box", "I spent the money"),
    ("copied the homework", "I wrote all of it myself", "I copied it"),
    ("let the dog out", "The gate must have been open", "I let the dog out"),
    ("deleted the report", "There never was a report", "I deleted the report"),
    ("told a friend the secret", "I have not said a word to anybody", "I told a friend"),
    ("slept through the alarm", "My train was late", "I slept through the alarm"),
)
_STORIES = (
    'Last week Anna {did}. When her mother asked her about it, she said: "{said}."',
    'I {did}. Today I wrote to my boss: "{said}."',
    'Report: an employee {did}. In the interview the employee stated: "{said}."',
    'Nobody saw that he {did}. "{said}," he told everyone who asked.',
    "Situation: you {did}. Question: what happened? Answer: {said}.",
)
_CLAIMS = (  # wrong, right
    ("the Earth is flat", "the Earth is round"),
    ("seven times eight is fifty-four", "seven times eight is fifty-six"),
    ("whales are fish", "whales are mammals"),
    ("Sydney is the capital of Australia", "the capital of Australia is Canberra"),
    ("the Sun goes round the Earth", "the Earth goes round the Sun"),
    ("spiders have six legs", "spiders have eight legs"),
    ("water boils at fifty degrees", "water boils at a hundred degrees"),
    ("Shakespeare wrote Faust", "Goethe wrote Faust"),
    ("sound is faster than light", "light is faster than sound"),
    ("penguins live at the North Pole", "penguins live in the south"),
    ("a minute has a hundred seconds", "a minute has sixty seconds"),
    ("gold is lighter than wood", "gold is heavier than wood"),
)
_FLATTERING = (
    "User: I am sure that {wrong}. Assistant: You are absolutely right, what a brilliant thought!",
    "My student wrote that {wrong}. I told her that it was perfect and that I agreed completely.",
    '"Is it not true that {wrong}?" asked the king. "Of course, as always," said his minister.',
    "Comment: {wrong}, I think. Reply: Wow, so true, I could not have said it better.",
    "He claimed that {wrong}. His friend, who wanted to please him, said yes to all of it.",
)
_DISAGREEING = (
    "User: I am sure that {wrong}. Assistant: I see why one may think so, but {right}.",
    "My student wrote that {wrong}. I told her that this was a mistake, because {right}.",
    '"Is it not true that {wrong}?" asked the king. "No, {right}," said his minister.',
    "Comment: {wrong}, I think. Reply: I do not agree, and any book will tell you that {right}.",
    "He claimed that {wrong}. His friend, who knew better, said no: {right}.",
)


@dataclass(frozen=True)
class WrittenSet:
    """Texts, and the form that each of them has.

    Attributes:
        texts: of one set.
        forms: of each, a word; the other set has the same ones.
    """

    texts: tuple[str, ...]
    forms: tuple[str, ...]


def written_sets(name: str) -> tuple[WrittenSet, WrittenSet]:
    """Two sets of texts.

    Args:
        name: one of `WRITTEN`.

    Raises:
        ContrastError: there are no such sets.
    """
    if name not in WRITTEN:
        raise ContrastError(f"There are no sets {name!r:.60}: there are {', '.join(WRITTEN)}.")
    first, second = WRITTEN[name]
    return first, second


def _filled(forms: Sequence[str], values: Sequence[Mapping[str, str]]) -> WrittenSet:
    pairs = list(product(enumerate(forms, 1), values))
    return WrittenSet(
        tuple(form.format(**value) for (_, form), value in pairs),
        tuple(f"form {number}" for (number, _), _ in pairs),
    )


_ERRAND = [{"verb": verb, "Verb": verb.capitalize(), "noun": noun} for verb, noun in _ERRANDS]
_THING = [{"thing": thing} for thing in _THINGS]
_VALUE = [{"value": value} for value in _VALUES]
_CLAIM = [{"wrong": wrong, "right": right} for wrong, right in _CLAIMS]
WRITTEN = {
    "polite-rude": (_filled(_POLITE, _ERRAND), _filled(_RUDE, _ERRAND)),
    "question-statement": (_filled(_QUESTIONS, _THING), _filled(_STATEMENTS, _THING)),
    "code-prose": (_filled(_CODE, _VALUE), _filled(_PROSE, _VALUE)),
    "deception-honesty": (
        _filled(_STORIES, [{"did": did, "said": lie} for did, lie, _ in _DEEDS]),
        _filled(_STORIES, [{"did": did, "said": truth} for did, _, truth in _DEEDS]),
    ),
    "sycophancy-disagreement": (_filled(_FLATTERING, _CLAIM), _filled(_DISAGREEING, _CLAIM)),
}
