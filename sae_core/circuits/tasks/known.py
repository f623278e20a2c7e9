"""Tasks whose circuits the field knows, in prompts of our own.

    arguments         def open(self, host, port):        the next argument's name, in a call
                          return self._open(             (after the docstring circuit of
                                                         Heimersheim and Janiak 2023)
    brackets          the bracket that closes the one that is open
    indirect-object   When Mary and John went to the shop, John gave a drink to: Mary
                      (Wang et al. 2022)
    greater-than      from the year 1732 to the year 17: a digit above 3 (Hanna et al. 2023)

Words that are no single token of a model are left out, so that there may be fewer prompts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from sae_core.circuits.tasks.task import TaskPrompt
from sae_core.errors import CircuitError

IsToken = Callable[[str], bool]
Item = TypeVar("Item")

_ARGUMENTS = (
    "name value path size data key text line port host mode file index length start end count "
    "width msg address code type args message result option source target format prefix state "
    "time encoding timeout errors default"
)
_CALLS = ("open", "read", "send", "load", "make", "find", "check", "parse", "write", "close")
_NAMES = (
    "Mary John Tom Anna Paul Sarah James Emma Peter Alice David Laura Mark Kate Robert Jane Henry "
    "Lucy George Helen Jack Rose Simon Nina Frank Clara"
)
_SCENES = (
    ("When {} and {} went to the {place}, {} gave a {thing} to", "shop park station library"),
    ("Then {} and {} had a long talk at the {place}. Afterwards {} handed the {thing} to",
     "station office museum school"),
    ("After {} and {} came back from the {place}, {} passed the {thing} to",
     "garden market theatre beach"),
)  # fmt: skip
_THINGS = ("drink", "book", "ticket", "letter", "key", "basket")
_EVENTS = "war siege voyage reign strike project campaign trial drought journey festival debate"
_YEARS = ((11, 20), (2, 8), (0, 10))  # century, decade, year of it
_BRACKETS = (
    ("(", ")"),
    ("[", "]"),
    ("{", "}"),
)
_OPENED = (
    "    values = {}{}, {}",
    "        self.items = {}{}, {}",
    "    for item in {}{}, {}",
    "    return {}{}, {}",
    "    result = {}{}, {}",
    "        yield {}{}, {}",
)


def known_task(name: str, n: int, is_token: IsToken, seed: int = 0) -> tuple[TaskPrompt, ...]:
    """Prompts of one of the known tasks, the same for the same seed.

    Args:
        name: one of `KNOWN`.
        n: how many; where there are fewer different ones, those.
        is_token: whether a text is a single token of the model.
        seed: of the draws.

    Raises:
        CircuitError: there is no such task, or the model has too few of its words.
    """
    if name not in KNOWN:
        raise CircuitError(f"There is no task {name!r}: there are {', '.join(sorted(KNOWN))}.")
    draw, prompts = np.random.default_rng((seed, list(KNOWN).index(name))), dict[TaskPrompt, None]()
    for _ in range(20 * n):
        if len(prompts) == n:
            break
        prompts[KNOWN[name](draw, is_token)] = None
    return tuple(prompts)


def _arguments(draw: np.random.Generator, is_token: IsToken) -> TaskPrompt:
    first, second, absent = _some(draw, _tokens(_ARGUMENTS, "", is_token), 3)
    call = _any(draw, _CALLS)
    text = f"    def {call}(self, {first}, {second}):\n        return self._{call}("
    return TaskPrompt(text, (first,), (absent,))


def _brackets(draw: np.random.Generator, is_token: IsToken) -> TaskPrompt:
    usable = [pair for pair in _BRACKETS if is_token(pair[1])]
    if len(usable) < 2:
        raise _too_few("brackets")
    opened, closed = _any(draw, usable)
    wrong = tuple(other for _, other in usable if other != closed)
    words = _some(draw, _ARGUMENTS.split(), 2)
    return TaskPrompt(_any(draw, _OPENED).format(opened, *words), (closed,), wrong)


def _indirect_object(draw: np.random.Generator, is_token: IsToken) -> TaskPrompt:
    receiver, giver = _some(draw, _tokens(_NAMES, " ", is_token), 2)
    scene, places = _any(draw, _SCENES)
    pair = [receiver, giver] if draw.random() < 0.5 else [giver, receiver]
    place, thing = _any(draw, places.split()), _any(draw, _THINGS)
    text = scene.format(*pair, giver, place=place, thing=thing)
    return TaskPrompt(text, (f" {receiver}",), (f" {giver}",))


def _greater_than(draw: np.random.Generator, is_token: IsToken) -> TaskPrompt:
    digits = [str(digit) for digit in range(10)]
    if not all(is_token(digit) for digit in digits):
        raise _too_few("digits, one a token,")
    century, decade, year = (int(draw.integers(low, high)) for low, high in _YEARS)
    event = _any(draw, _EVENTS.split())
    text = f"The {event} lasted from the year {century}{decade}{year} to the year {century}"
    return TaskPrompt(text, tuple(digits[decade + 1 :]), tuple(digits[:decade]))


def _any(draw: np.random.Generator, items: Sequence[Item]) -> Item:
    return items[int(draw.integers(len(items)))]


def _some(draw: np.random.Generator, words: Sequence[str], n: int) -> list[str]:
    """Some different words."""
    return [words[place] for place in draw.permutation(len(words))[:n].tolist()]


def _tokens(words: str, before: str, is_token: IsToken) -> list[str]:
    kept = [word for word in words.split() if is_token(before + word)]
    if len(kept) < 4:
        raise _too_few("words of this task")
    return kept


def _too_few(what: str) -> CircuitError:
    return CircuitError(f"The model has too few {what} as single tokens.")


KNOWN: dict[str, Callable[[np.random.Generator, IsToken], TaskPrompt]] = {
    "arguments": _arguments,
    "brackets": _brackets,
    "indirect-object": _indirect_object,
    "greater-than": _greater_than,
}
