"""What a report is made of."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator

FORMAT = "featurescope-report"
VERSION = 1

Hexadecimal = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Signature = Annotated[str, Field(pattern=r"^[0-9a-f]{128}$")]


class ReportPart(BaseModel):
    """Any part of a report: nothing missing, nothing besides, numbers finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class SigningKey(ReportPart):
    """Who signed: the public key in hexadecimal digits, and its SHA-256."""

    public: Hexadecimal
    fingerprint: Hexadecimal


class CodeFacts(ReportPart):
    """With what it was made.

    Attributes:
        version: of Featurescope.
        source: SHA-256 of its own source, templates and style sheets.
        python: version.
        libraries: version of each that figures depend on.
    """

    version: str
    source: Hexadecimal
    python: str
    libraries: dict[str, str]


class TextFacts(ReportPart):
    """A harvested text and the pass over it; `settings` are all else that decided the harvest."""

    name: str
    fingerprint: str
    documents: int
    tokens: int
    read_tokens: int
    read_windows: int
    context: int
    seed: int
    settings: dict[str, JsonValue]


class DictionaryFacts(ReportPart):
    """Which weights and which text findings are about.

    Attributes:
        model: name of the model.
        name: of the dictionary.
        hook_point: where it reads.
        writes_at: where it writes; the same but for a transcoder.
        architecture: of the dictionary.
        features: how many it has.
        dtype: it was run in.
        checksum: of its weights; of neurons, of hook point and width.
        neurons: whether its features are the model's own neurons.
        model_architecture: of the model.
        model_checksum: SHA-256 of its weights and tokenizer.
        model_dtype: of the activations.
        vocabulary: SHA-256 of the bytes of all tokens.
        bos: whether texts are opened with BOS.
        text: that was harvested; None: none was.
    """

    model: str
    name: str
    hook_point: str
    writes_at: str
    architecture: str
    features: int
    dtype: str
    checksum: str
    neurons: bool
    model_architecture: str
    model_checksum: str
    model_dtype: str
    vocabulary: Hexadecimal
    bos: bool
    text: TextFacts | None

    @property
    def title(self) -> str:
        """`model/name`."""
        return f"{self.model}/{self.name}"


class RawFinding(ReportPart):
    """A finding of any kind.

    Attributes:
        kind: of it; `findings/kinds.py` has them.
        claim: what is claimed, in words; follows from what was asked and found.
        command: what made it.
        address: of its page, on the server that it was made on.
        asked: what decides it.
        found: figures and texts that come out again.
        stated: what people say of it, which nothing can recompute.
    """

    kind: str
    claim: str
    command: str
    address: str
    asked: dict[str, Any]
    found: dict[str, Any]
    stated: dict[str, Any]


class AuditReport(ReportPart):
    """A report, whoever signed it.

    Attributes:
        title: any text of one line.
        note: what its author says.
        made: when, UTC, as ISO 8601 writes it.
        code: with what.
        key: who signed it.
        dictionaries: that findings are about, by title.
        findings: in the order chosen.
    """

    title: str
    note: str
    made: str
    code: CodeFacts
    key: SigningKey
    dictionaries: tuple[DictionaryFacts, ...]
    findings: tuple[RawFinding, ...]

    @field_validator("dictionaries")
    @classmethod
    def _each_once(cls, facts: tuple[DictionaryFacts, ...]) -> tuple[DictionaryFacts, ...]:
        if len({one.title for one in facts}) < len(facts):
            raise ValueError("a dictionary stands there twice")
        return facts

    def facts(self, title: str) -> DictionaryFacts:
        """Of one of its dictionaries.

        Raises:
            ValueError: the report says nothing of it.
        """
        for facts in self.dictionaries:
            if facts.title == title:
                return facts
        raise ValueError(f"it says nothing of the dictionary {title!r:.80}")


class SignedReport(ReportPart):
    """A report as a file holds it.

    Attributes:
        format: `FORMAT`.
        version: of the form.
        page: SHA-256 of its page, without the JSON inside.
        report: what it says.
        signature: Ed25519, of the canonical JSON of all else here.
    """

    format: Literal["featurescope-report"]
    version: Literal[1]
    page: Hexadecimal
    report: AuditReport
    signature: Signature
