"""Reports as files: written, and read back with everything held against the signature."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from app.errors import InvalidRequest
from app.exchange.report.document import MOST_BYTES, ReportError, canonical, parsed, too_large
from app.exchange.report.findings.kind import ReadFinding
from app.exchange.report.findings.kinds import misworded, read_findings
from app.exchange.report.page import page_digest, report_page, split_page
from app.exchange.report.provenance import source_digest
from app.exchange.report.schema import FORMAT, VERSION, AuditReport, SignedReport
from app.exchange.report.signing import fingerprint, is_signed
from sae_core.files.atomic import atomic_file

_ENDINGS = (".html", ".json")
_PAGE = b"<!doctype html>"


@dataclass(frozen=True)
class ReportFile:
    """A file that is what was signed, whoever signed it.

    Attributes:
        report: what it says.
        findings: its findings with their parts as their types say.
        is_page: whether it is a page; else it is the JSON.
        same_code: whether it was made by the source that runs here.
        doubts: where words or page are not what the figures say, in sentences.
    """

    report: AuditReport
    findings: list[ReadFinding[Any, Any, Any]]
    is_page: bool
    same_code: bool
    doubts: tuple[str, ...]


def report_paths(name: str, out: Path) -> tuple[Path, ...]:
    """Where a report goes: into a folder as page and JSON, or into one file.

    Raises:
        InvalidRequest: there is something already, or the name is none for a file.
    """
    if out.suffix.lower() in _ENDINGS:
        paths: tuple[Path, ...] = (out,)
    else:
        if not name or name.startswith(".") or "/" in name or "\0" in name or len(name) > 100:
            raise InvalidRequest(
                f"{name!r:.120} is no name for a file: letters, digits and hyphens are best."
            )
        paths = tuple(out / f"{name}{ending}" for ending in _ENDINGS)
    for path in paths:
        if path.exists():
            raise InvalidRequest(f"{path} is there already: choose another name, or move it away.")
    return paths


def write_report(signed: SignedReport, paths: Sequence[Path]) -> None:
    """Write page and JSON, each whole or not at all.

    Raises:
        InvalidRequest: it is larger than reports are read.
        DiskError: one cannot be written.
    """
    inside = canonical(signed.model_dump(mode="json"))
    if len(inside) > MOST_BYTES:
        raise InvalidRequest(
            f"The report takes {len(inside) / 2**20:.0f} MiB; at most {MOST_BYTES // 2**20} are "
            "read: choose fewer findings."
        )
    for path in paths:
        data = report_page(signed) if path.suffix.lower() == ".html" else inside
        with atomic_file(path) as draft:
            draft.write_bytes(data)


def read_report(path: Path) -> ReportFile:
    """A file, known to be what was signed.

    Raises:
        ReportError: it is no report, of another version, or was changed after it was signed.
    """
    data = _content(path)
    is_page = data[: len(_PAGE)].lower() == _PAGE
    inside, page = split_page(data) if is_page else (data, None)
    signed = _signed(parsed(inside))
    report = signed.report
    if page is not None and page != signed.page:
        raise ReportError(
            "The page was changed after it was signed: its text is not the one that was signed. "
            "Ask for the file as it was written."
        )
    findings = read_findings(report)
    same_code = report.code.source == source_digest()
    doubts = misworded(report, findings)
    if page_digest(report) != signed.page:
        doubts.append(
            "The page is not what this version draws from its JSON: believe the JSON, not the page."
            if same_code
            else "The page was drawn by another version: whether it says what its JSON says is not "
            "known. Believe the figures in the JSON, or verify with that version."
        )
    return ReportFile(report, findings, is_page, same_code, tuple(doubts))


def _content(path: Path) -> bytes:
    limit = MOST_BYTES + 2**20  # the page around the JSON
    try:
        if path.stat().st_size > 2 * limit:
            raise ReportError(too_large(path.stat().st_size))
        with path.open("rb") as file:
            data = file.read(2 * limit)
    except OSError as error:
        raise ReportError(f"{path} cannot be read: {error.strerror}.") from error
    return data


def _signed(value: Any) -> SignedReport:
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise ReportError("This JSON is no audit report of Featurescope.")
    if value.get("version") != VERSION or isinstance(value["version"], bool):
        raise ReportError(
            f"This report is of version {value.get('version')!r:.20}; this Featurescope reads "
            f"version {VERSION}: verify it with the Featurescope that made it."
        )
    try:
        signed = SignedReport.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise ReportError(
            f"This is no whole report: {where[:200]}: {first['msg'][:200]}. It was changed, or "
            "made by another version of Featurescope."
        ) from error
    key = signed.report.key
    content = {name: inside for name, inside in value.items() if name != "signature"}
    if fingerprint(key.public) != key.fingerprint or not is_signed(
        key.public, signed.signature, canonical(content)
    ):
        raise ReportError(
            "The signature does not fit: the report was changed after it was signed. Ask for the "
            "file as it was written."
        )
    return signed
