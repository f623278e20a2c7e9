"""Lines of the log: short, and nothing that a terminal obeys."""

from __future__ import annotations

import logging

import pytest

from app.worker.logs import FORMAT, LONGEST, PlainFormatter, set_up


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
