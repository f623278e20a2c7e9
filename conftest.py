"""The option --no-skips: with it a skipped test is a failed one.

`make test` and `.ci/run` give it, so that a missing browser or Postgres cannot pass unseen.
"""

from __future__ import annotations

from collections.abc import Generator

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the option."""
    parser.addoption("--no-skips", action="store_true", help="count a skipped test as a failure")


def _refuse(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Turn a skip into a failure that tells the skip's reason."""
    if report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"--no-skips was given, and this would be skipped. {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Look at the outcome of each test."""
    report = yield
    if item.config.getoption("--no-skips"):
        _refuse(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Look at modules that skip themselves as a whole."""
    report = yield
    if collector.config.getoption("--no-skips"):
        _refuse(report)
    return report
