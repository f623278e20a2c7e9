"""Findings of the store put together and signed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from app.errors import InvalidRequest
from app.exchange.report.document import canonical
from app.exchange.report.findings.kinds import KINDS
from app.exchange.report.findings.named import plain_text
from app.exchange.report.page import page_digest
from app.exchange.report.provenance import code_facts, dictionary_facts
from app.exchange.report.schema import (
    FORMAT,
    VERSION,
    AuditReport,
    DictionaryFacts,
    RawFinding,
    SignedReport,
    SigningKey,
)
from app.exchange.report.signing import ReportKey
from app.store.store import Store

MOST_FINDINGS = 200
LONGEST_TITLE, LONGEST_NOTE = 200, 20_000  # characters


def collect(
    store: Store, chosen: Sequence[tuple[str, str]], title: str, note: str, key: ReportKey
) -> AuditReport:
    """What the store says of some findings.

    Args:
        store: where they are.
        chosen: kind and name of each, as `featurescope report` takes them.
        title: any text of one line.
        note: what its author says.
        key: who will sign it.

    Raises:
        InvalidRequest: none or too many are chosen, one cannot stand in a report, or a text is too
            long.
        NotFound: there is nothing of a name.
    """
    if not 0 < len(chosen) <= MOST_FINDINGS:
        raise InvalidRequest(
            f"{len(chosen)} findings are chosen; a report has 1 to {MOST_FINDINGS}: name some, as "
            "with --feature MODEL/DICTIONARY/12."
        )
    if len(title) > LONGEST_TITLE or "\n" in title or len(note) > LONGEST_NOTE:
        raise InvalidRequest(
            f"A title is one line of at most {LONGEST_TITLE} characters, a note has at most "
            f"{LONGEST_NOTE:,}."
        )
    facts: dict[str, DictionaryFacts] = {}
    findings: list[RawFinding] = []
    kinds = {kind.name: kind for kind in KINDS}
    for name, words in dict.fromkeys(chosen):
        kind = kinds[name]
        gathered = kind.gather(store, words)
        for view in gathered.views:
            if view.title not in facts:
                facts[view.title] = dictionary_facts(store, view)
        raw = RawFinding(
            kind=name,
            claim="",
            command="",
            address="",
            asked=gathered.asked.model_dump(mode="json"),
            found=gathered.found.model_dump(mode="json"),
            stated=gathered.stated.model_dump(mode="json"),
        )
        try:
            findings.append(kind.written(kind.read(raw, facts)))
        except ValueError as error:
            raise InvalidRequest(
                f"The {name} {words!r:.80} cannot stand in a report: {error}. Is its dictionary "
                "still in the store under its name?"
            ) from error
    return AuditReport(
        title=plain_text(title),
        note=plain_text(note),
        made=datetime.now(UTC).replace(microsecond=0).isoformat(),
        code=code_facts(),
        key=SigningKey(public=key.public, fingerprint=key.fingerprint),
        dictionaries=tuple(facts.values()),
        findings=tuple(findings),
    )


def sign(report: AuditReport, key: ReportKey) -> SignedReport:
    """A report with the digest of its page and a signature of both."""
    content = {
        "format": FORMAT,
        "version": VERSION,
        "page": page_digest(report),
        "report": report.model_dump(mode="json"),
    }
    return SignedReport.model_validate({**content, "signature": key.sign(canonical(content))})
