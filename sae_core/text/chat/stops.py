"""A text that grows until one of some texts comes in it."""

from __future__ import annotations

from collections.abc import Sequence


class StopTexts:
    """What was written, less the first stop text and what follows it.

    Attributes:
        whole: all of it.
        stopped: whether a stop text came.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stop for stop in stops if stop)
        self._longest = max(map(len, self._stops), default=0)
        self.whole = ""
        self.stopped = False

    def add(self, text: str) -> None:
        """Write on; nothing more once it has stopped."""
        if self.stopped:
            return
        begin = max(0, len(self.whole) - self._longest)
        self.whole += text
        places = [self.whole.find(stop, begin) for stop in self._stops]
        ends = [place for place in places if place >= 0]
        if ends:
            self.whole, self.stopped = self.whole[: min(ends)], True

    @property
    def settled(self) -> str:
        """What stays whatever comes: without an end that may become a stop text."""
        if self.stopped:
            return self.whole
        waiting = 0
        for stop in self._stops:
            for n in range(min(len(stop) - 1, len(self.whole)), waiting, -1):
                if self.whole.endswith(stop[:n]):
                    waiting = n
                    break
        return self.whole[: len(self.whole) - waiting]
