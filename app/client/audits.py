"""Evidence about features from Python. Twins of the JSON interface."""

from __future__ import annotations

from app.client.transport import Answer, Transport
from app.pages.audit.contrast.schema import ContrastAnswer, ContrastList, ContrastSummary


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

    def _ask(self, kind: type[Answer], *parts: str) -> Answer:
        return self._transport.ask("GET", self._transport.address(*parts), kind)
