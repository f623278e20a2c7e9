"""A report as one page that needs no server, no network and no scripts.

The page is drawn from the report alone, so that it can be drawn again and compared. The signed JSON
lies inside, byte for byte; the page's digest is of all but that.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from functools import cache
from typing import Any

from markupsafe import Markup

from app.exchange.report.document import ReportError, canonical
from app.exchange.report.findings.features.contexts import context_line
from app.exchange.report.findings.kind import ReadFinding
from app.exchange.report.findings.kinds import read_findings
from app.exchange.report.schema import AuditReport, RawFinding, SignedReport
from app.rendering.assets import Assets
from app.rendering.markup import trusted
from app.rendering.templates import Renderer
from app.settings import resource

_BEGIN = b'<script type="application/json" id="report">'
_END = b"</script>"
_STYLES = ("base", "contexts", "files/report", "print")


@dataclass(frozen=True)
class ShownFinding:
    """A finding for the template.

    Attributes:
        raw: as the report holds it.
        read: its parts as their types say.
    """

    raw: RawFinding
    read: ReadFinding[Any, Any, Any]


def page_digest(report: AuditReport) -> str:
    """SHA-256 of the page, without the JSON inside."""
    return hashlib.sha256(_drawn(report)).hexdigest()


def report_page(signed: SignedReport) -> bytes:
    """The page with the JSON inside."""
    head, tail = _drawn(signed.report).split(_BEGIN + _END)
    inside = canonical(signed.model_dump(mode="json"))
    return b"".join([head, _BEGIN, inside, _END, tail])


def split_page(data: bytes) -> tuple[bytes, str]:
    """The JSON inside a page, and the digest of the page without it.

    Raises:
        ReportError: there is none inside.
    """
    head, begin, rest = data.partition(_BEGIN)
    inside, end, tail = rest.partition(_END)
    if not begin or not end or not inside:
        raise ReportError(
            "This page has no report inside: it was not written by `featurescope report`, or the "
            "JSON was taken out. Ask for the file as it was written."
        )
    return inside, hashlib.sha256(b"".join([head, begin, end, tail])).hexdigest()


def _drawn(report: AuditReport) -> bytes:
    """The page with nothing where the JSON goes."""
    findings = [
        ShownFinding(raw, read)
        for raw, read in zip(report.findings, read_findings(report), strict=True)
    ]
    style, policy = _style()
    renderer = Renderer(resource("templates"), Assets(resource("static")))
    text = renderer.text(
        "web/exchange/report/report.html",
        report=report,
        findings=findings,
        style=style,
        policy=policy,
        context_line=context_line,
        place=trusted((_BEGIN + _END).decode()),
    )
    return text.encode("utf-8", "replace")


@cache
def _style() -> tuple[Markup, str]:
    """The style sheets inside the page, and the policy that lets nothing else in."""
    sheets = [(resource("static") / "css" / f"{name}.css").read_text() for name in _STYLES]
    css = "\n" + "\n".join(sheets)
    summed = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{summed}'; base-uri 'none'; form-action 'none'"
    return trusted(f"<style>{css}</style>"), policy
