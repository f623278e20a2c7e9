"""Evidence about features from Python. Twins of the JSON interface."""

from __future__ import annotations

from urllib.parse import urlencode

from app.client.transport import Answer, Transport
from app.pages.audit.contrast.schema import ContrastAnswer, ContrastList, ContrastSummary
from app.pages.audit.experiments.schema import (
    ExperimentAnswer,
    ExperimentList,
    ExperimentSummary,
    ExperimentTexts,
)
from app.pages.audit.monitors.schema import MonitorAnswer, MonitorList, MonitorSummary


class AuditClient:
    """Reads what audits found. Reached as `FeaturescopeClient.audit`.

    Every method raises RequestFailed where the server refuses or cannot be reached.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def contrasts(self) -> list[ContrastSummary]:
        """All contrasts of two sets of texts, the newest first."""
        return self._ask(ContrastList, "contrast").contrasts

    def contrast(self, name: str) -> ContrastAnswer:
        """What tells two sets of texts apart, with the texts and all figures.

        Args:
            name: of the contrast, as `featurescope contrast` printed it.
        """
        return self._ask(ContrastAnswer, "contrast", name)

    def experiments(self) -> list[ExperimentSummary]:
        """All experiments, the newest first."""
        return self._ask(ExperimentList, "experiments").experiments

    def experiment(self, name: str) -> ExperimentAnswer:
        """What was asked of an experiment, and every figure.

        Args:
            name: of the experiment, as `featurescope experiment` printed it.
        """
        return self._ask(ExperimentAnswer, "experiments", name)

    def experiment_texts(
        self, name: str, page: int = 1, arm: str = "", outcome: str = "", show: str = "all"
    ) -> ExperimentTexts:
        """Texts of every arm, twenty prompts at a time.

        Args:
            name: of the experiment.
            page: from 1.
            arm: that `show` looks at; empty: the first.
            outcome: that `show` looks at; empty: the first.
            show: `all`, `changed`, `more`, `less`, or `other` where the text is another.
        """
        address = self._transport.address("experiments", name, "texts")
        query = urlencode({"page": page, "arm": arm, "outcome": outcome, "show": show})
        return self._transport.ask("GET", f"{address}?{query}", ExperimentTexts)

    def monitors(self) -> list[MonitorSummary]:
        """All monitors, the newest first."""
        return self._ask(MonitorList, "monitors").monitors

    def monitor(self, name: str) -> MonitorAnswer:
        """What a monitor watches, its rates, and its newest alarms.

        Args:
            name: of the monitor, as `featurescope monitor` printed it.
        """
        return self._ask(MonitorAnswer, "monitors", name)

    def _ask(self, kind: type[Answer], *parts: str) -> Answer:
        return self._transport.ask("GET", self._transport.address(*parts), kind)
