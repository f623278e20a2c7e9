"""Lines of the log: short, and nothing that a terminal obeys."""

from __future__ import annotations

import json
import logging
import sys

import pytest

from app.worker.logs import (
    FORMAT,
    KINDS,
    LONGEST,
    MOST,
    SECONDS,
    FloodFilter,
    JsonFormatter,
    PlainFormatter,
    set_up,
)


def line(name: str, message: str, *arguments: object) -> str:
    record = logging.LogRecord(name, logging.INFO, "", 0, message, arguments, None)
    return PlainFormatter(FORMAT).format(record)


def test_control_characters_are_written_out() -> None:
    assert line("app", "a %s", "red \x1b[31m\nforged").endswith(r"app: a red \x1b[31m\nforged")


def test_long_messages_are_cut() -> None:
    assert len(line("app", "%s", "x" * 100_000)) < LONGEST + 100


def test_an_address_is_logged_without_its_query() -> None:
    said = line(
        "uvicorn.access", '%s - "%s %s HTTP/%s" %d', "1.2.3.4:5", "GET", "/m?text=mine", "1.1", 200
    )
    assert said.endswith("1.2.3.4:5 GET /m 200")


def test_httpx_is_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging, "basicConfig", lambda **_: None)
    set_up("debug")
    assert not logging.getLogger("httpx").isEnabledFor(logging.INFO)


def record(message: str, *arguments: object, name: str = "app") -> logging.LogRecord:
    return logging.LogRecord(name, logging.WARNING, "", 0, message, arguments, None)


def test_json_is_a_document_a_line() -> None:
    try:
        raise ValueError("red \x1b[31m\nforged")
    except ValueError:
        failed = record("a %s", "line\nmore")
        failed.exc_info = sys.exc_info()
    (line_,) = JsonFormatter().format(failed).splitlines()
    value = json.loads(line_)
    assert (value["level"], value["logger"], value["message"]) == (
        "warning",
        "app",
        r"a line\nmore",
    )
    assert value["time"].endswith("+00:00")
    assert "ValueError" in value["traceback"]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_flood_is_counted_and_told_when_its_time_is_over() -> None:
    told, clock = list[str](), Clock()
    flood = FloodFilter(lambda own: told.append(own.getMessage()), clock)
    passed = [flood.filter(record("worker %s is gone", n)) for n in range(1000)]
    assert sum(passed) == MOST
    assert passed[:MOST] == [True] * MOST
    assert flood.filter(record("something else"))
    assert told == []
    clock.now = SECONDS
    assert flood.filter(record("worker %s is gone", "now"))  # counted anew
    assert told == ["980 more like it in 60 s: worker 999 is gone"]


def test_what_was_counted_is_told_at_the_end() -> None:
    told = list[str]()
    flood = FloodFilter(lambda own: told.append(own.getMessage()), Clock())
    for _ in range(MOST + 2):
        flood.filter(record("again"))
    flood.filter(record("once"))
    flood.end()
    flood.end()
    assert told == ["2 more like it in 60 s: again"]


def test_kinds_are_bounded_and_none_is_lost() -> None:
    told = list[str]()
    flood = FloodFilter(lambda own: told.append(own.getMessage()), Clock())
    for _ in range(MOST + 1):
        flood.filter(record("the first"))
    assert all(flood.filter(record(f"kind {n}")) for n in range(KINDS))
    assert len(flood._kinds) == KINDS
    assert told == ["1 more like it in 60 s: the first"]


def test_lines_of_access_are_not_counted() -> None:
    flood = FloodFilter(lambda _: None, Clock())
    assert all(flood.filter(record("%s", n, name="uvicorn.access")) for n in range(100))


def test_a_flood_through_the_handler(capsys: pytest.CaptureFixture[str]) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(PlainFormatter("%(message)s"))
    flood = FloodFilter(handler.handle, Clock())
    handler.addFilter(flood)
    own = logging.Logger("app.flood")
    own.addHandler(handler)
    for n in range(100_000):
        own.warning("again %d", n)
    flood.end()
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == MOST + 1
    assert lines[-1] == "99,980 more like it in 60 s: again 99999"
