"""All kinds of findings, in the order in which a report lists them."""

from __future__ import annotations

from typing import Any

from app.exchange.report.document import ReportError
from app.exchange.report.findings.circuit import CircuitKind
from app.exchange.report.findings.contrast import ContrastKind
from app.exchange.report.findings.experiment import ExperimentKind
from app.exchange.report.findings.features.feature import FeatureKind
from app.exchange.report.findings.features.label import LabelFindingKind
from app.exchange.report.findings.features.listed import ListKind
from app.exchange.report.findings.graph import GraphKind
from app.exchange.report.findings.kind import FindingKind, ReadFinding
from app.exchange.report.findings.monitor import MonitorKind
from app.exchange.report.schema import AuditReport, RawFinding

KINDS: tuple[FindingKind[Any, Any, Any], ...] = (
    FeatureKind(),
    LabelFindingKind(),
    ListKind(),
    ContrastKind(),
    MonitorKind(),
    ExperimentKind(),
    GraphKind(),
    CircuitKind(),
)


def kind_of(raw: RawFinding) -> FindingKind[Any, Any, Any]:
    """The kind of a finding.

    Raises:
        ValueError: it is of none that is known here.
    """
    for kind in KINDS:
        if kind.name == raw.kind:
            return kind
    raise ValueError(f"findings of the kind {raw.kind!r:.40} are not known to this version")


def read_findings(report: AuditReport) -> list[ReadFinding[Any, Any, Any]]:
    """The findings of a report with their parts as their types say.

    Raises:
        ReportError: one is not of its form.
    """
    facts = {one.title: one for one in report.dictionaries}
    read = []
    for number, raw in enumerate(report.findings, 1):
        try:
            kind = kind_of(raw)
            finding = kind.read(raw, facts)
            kind.written(finding)
        except (ValueError, LookupError, ArithmeticError) as error:
            raise ReportError(
                f"Finding {number} is not of its form: {str(error)[:300]}. The report was changed, "
                "or made by another version of Featurescope."
            ) from error
        read.append(finding)
    return read


def misworded(report: AuditReport, read: list[ReadFinding[Any, Any, Any]]) -> list[str]:
    """Where claim, command or address of a finding are not what its figures say, in sentences."""
    sentences = []
    for number, (raw, finding) in enumerate(zip(report.findings, read, strict=True), 1):
        again = kind_of(raw).written(finding)
        sentences += [
            f"The {name} of finding {number} is not what its figures say: that would be "
            f"{getattr(again, name)!r:.300}."
            for name in ("claim", "command", "address")
            if getattr(raw, name) != getattr(again, name)
        ]
    return sentences
