"""A report's files: what was signed, and nothing else, is read; nothing in the page is alive."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from app.cli.main import run
from app.exchange.report import document
from app.exchange.report.document import ReportError, canonical, digest, leaves, parsed
from app.exchange.report.files import read_report
from app.exchange.report.signing import KEY_FILE, ReportKey, open_key
from tests.app.exchange.report.conftest import HOSTILE, Homes, Resign, chosen


class _Parsed(HTMLParser):
    """Tags with their attributes, and the text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_page_and_json_say_the_same(homes: Homes, key: ReportKey) -> None:
    page, plain = read_report(homes.page), read_report(homes.json)
    assert page.report == plain.report
    assert (page.is_page, plain.is_page) == (True, False)
    assert page.doubts == plain.doubts == ()
    assert page.same_code
    assert homes.json.read_bytes() in homes.page.read_bytes()
    assert page.report.key.fingerprint == key.fingerprint
    assert [raw.kind for raw in page.report.findings] == [
        *("feature", "label", "list", "contrast", "monitor", "experiment", "graph", "circuit")
    ]


def test_nothing_in_the_page_is_alive_and_nothing_is_elsewhere(homes: Homes) -> None:
    html = homes.page.read_text()
    read = _Parsed(html)
    names = {tag for tag, _ in read.tags}
    assert not names & {"link", "img", "iframe", "object", "form", "base", "button"}
    scripts = [attributes for tag, attributes in read.tags if tag == "script"]
    assert scripts == [{"type": "application/json", "id": "report"}]
    for _, attributes in read.tags:
        assert not {"src", "style"} & attributes.keys()
        assert (attributes.get("href") or "#")[:1] == "#"
        assert not [name for name in attributes if name.startswith(("on", "hx-"))]
    assert not re.search(r"url\(|@import", html)
    (policy,) = [
        attributes["content"]
        for tag, attributes in read.tags
        if tag == "meta" and "http-equiv" in attributes
    ]
    assert str(policy).startswith("default-src 'none'; style-src 'sha256-")
    assert "U+202E" in read.text
    assert "‮" not in read.text.partition('{"format"')[0]
    assert "<script>alert" in read.text
    assert "/files-first/" not in html  # where files lie on this machine is nobody's business


def test_every_leaf_is_signed(homes: Homes, written: dict[str, Any], tmp_path: Path) -> None:
    """Whatever is changed, one text or number at a time, the signature no longer fits."""
    every = [*leaves(written)]
    assert len(every) > 1000
    path = tmp_path / "changed.json"
    for place, value in every:
        at = written
        for step in place[:-1]:
            at = at[step]
        at[place[-1]] = _other(value)
        path.write_bytes(canonical(written))
        with pytest.raises(ReportError):
            read_report(path)
        at[place[-1]] = value
    path.write_bytes(canonical(written))
    assert read_report(path).report == read_report(homes.json).report


def _other(value: Any) -> Any:
    if isinstance(value, bool) or value is None:
        return not value
    if isinstance(value, str):
        return f"{value[:-1]}{'1' if value[-1:] == '0' else '0'}"
    return value + 1 if isinstance(value, int) else value * 1.0000001 + 1e-12


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda data: data[: len(data) // 2], "no JSON of a report, or it is cut off"),
        (lambda data: b"", "no JSON of a report"),
        (lambda data: b"[]", "is no audit report"),
        (lambda data: b'{"format":"other"}', "is no audit report"),
        (lambda data: data.replace(b'"version":1}', b'"version":2}'), "is of version 2"),
        (lambda data: data.replace(b'"version":1}', b'"version":true}'), "is of version True"),
        (lambda data: b'{"a":1,"a":1}', "a key stands there twice"),
        (lambda data: b'{"a":NaN}', "NaN is no number"),
        (lambda data: b'{"a":-Infinity}', "-Infinity is no number"),
        (lambda data: b'{"a":1e999}', "too large a number"),
        (lambda data: b'{"a":' + b"9" * 5000 + b"}", "no JSON of a report"),
        (lambda data: b"[" * 100_000, "no JSON of a report"),
        (lambda data: b" " + data, "not written as Featurescope writes"),
        (lambda data: json.dumps(json.loads(data)).encode(), "not written as Featurescope writes"),
        (lambda data: b"\xff\xfe" + data, "no JSON of a report"),
        (lambda data: data.replace(b'"note":"Note', b'"note":"note'), "signature does not fit"),
        (lambda data: data.replace(b'"claim":', b'"clain":'), "no whole report"),
    ],
)
def test_what_is_no_report_is_a_sentence(
    homes: Homes, tmp_path: Path, capsys: pytest.CaptureFixture[str], change: Any, sentence: str
) -> None:
    path = tmp_path / "wrong.json"
    path.write_bytes(change(homes.json.read_bytes()))
    assert run(["verify-report", str(path), "--sample", "0"]) == 2
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        (b"Strongest contexts", b"Weakest contexts", "The page was changed"),
        (b"</main>", b"<p>more</p></main>", "The page was changed"),
        (b'<script type="application/json" id="report">', b"<p>", "no report inside"),
        (b'"note":"Note', b'"note":"note', "signature does not fit"),
    ],
)
def test_a_changed_page_is_found(
    homes: Homes, tmp_path: Path, old: bytes, new: bytes, sentence: str
) -> None:
    data = homes.page.read_bytes()
    assert old in data
    path = tmp_path / "changed.html"
    path.write_bytes(data.replace(old, new, 1))
    with pytest.raises(ReportError, match=sentence):
        read_report(path)


def test_a_page_that_is_signed_but_says_something_else_is_doubted(
    written: dict[str, Any], tmp_path: Path, stranger: ReportKey
) -> None:
    """Whoever signs can sign any page; drawn again from its JSON it is another."""
    report = {**written["report"], "key": {"public": stranger.public, "fingerprint": ""}}
    report["key"]["fingerprint"] = stranger.fingerprint
    content = {"format": written["format"], "version": 1, "page": digest("any"), "report": report}
    path = tmp_path / "doubtful.json"
    path.write_bytes(canonical({**content, "signature": stranger.sign(canonical(content))}))
    assert any("not what this version draws" in doubt for doubt in read_report(path).doubts)


def test_a_claim_that_figures_do_not_bear_is_doubted(
    written: dict[str, Any], tmp_path: Path, stranger: ReportKey, capsys: Any
) -> None:
    from app.exchange.report.collection import sign
    from app.exchange.report.schema import AuditReport

    report = {**written["report"]}
    report["key"] = {"public": stranger.public, "fingerprint": stranger.fingerprint}
    report["findings"][0]["claim"] = "This feature is deceptive."
    signed = sign(AuditReport.model_validate(report), stranger)
    path = tmp_path / "claims.json"
    path.write_bytes(canonical(signed.model_dump(mode="json")))
    assert run(["verify-report", str(path), "--sample", "0"]) == 2
    assert "The claim of finding 1 is not what its figures say" in capsys.readouterr().out


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "large.json"
    with path.open("wb") as file:
        file.truncate(500 * 2**20)
    with pytest.raises(ReportError, match="500 MiB; a report has at most 64"):
        read_report(path)
    with pytest.raises(ReportError, match="cannot be read"):
        read_report(tmp_path / "nothing.json")


def test_what_is_larger_than_is_read_is_not_written(
    homes: Homes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setenv("FEATURESCOPE_HOME", str(homes.first))
    monkeypatch.setattr("app.exchange.report.files.MOST_BYTES", 1000)
    assert run(["report", "large", *chosen(homes.first), "--out", str(tmp_path)]) == 1
    assert "choose fewer findings" in capsys.readouterr().err
    assert [*tmp_path.iterdir()] == []


def test_the_canonical_form_is_one() -> None:
    value = {"b": [1, 1.0, 0.1, -0.0, 1e300, None, True, "é\u2028<&>\ud800"], "a": {}}
    data = canonical(value)
    assert data == (
        b'{"a":{},"b":[1,1.0,0.1,-0.0,1e+300,null,true,'
        b'"\xc3\xa9\\u2028\\u003c\\u0026\\u003e\\ud800"]}'
    )
    assert parsed(data) == value
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical(float("nan"))
    with pytest.raises(ReportError):
        parsed(b"x" * (document.MOST_BYTES + 1))


def test_a_key_is_made_once_and_is_its_owners_alone(tmp_path: Path) -> None:
    key = open_key(tmp_path / "home")
    path = tmp_path / "home" / KEY_FILE
    assert path.stat().st_mode & 0o777 == 0o600
    assert open_key(tmp_path / "home").fingerprint == key.fingerprint
    path.chmod(0o644)
    with pytest.raises(Exception, match="Others than its owner"):
        open_key(tmp_path / "home")
    path.chmod(0o600)
    path.write_text("nothing")
    with pytest.raises(Exception, match="holds no Ed25519 key"):
        open_key(tmp_path / "home")


def test_a_signature_is_that_of_rfc_8032() -> None:
    """The first test vector of its section 7.1, so that others can verify with any library."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    secret = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    key = ReportKey(Ed25519PrivateKey.from_private_bytes(secret))
    assert key.public == "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    assert key.sign(b"") == (
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
        "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
    )


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "Give the report a NAME"),
        (["x"], "0 findings are chosen"),
        (["x", "--feature", "tiny"], "names no feature"),
        (["x", "--feature", "tiny/features/²"], "names no feature"),
        (["x", "--feature", "tiny/features/99999999999"], "no feature"),
        (["x", "--feature", "tiny/nothing/1"], "nothing"),
        (["x", "--list", "nothing"], "nothing"),
        (["x", "--contrast", "nothing"], "There is no contrast"),
        (["x", "--graph", "nothing"], "names no graph"),
        (["x", "--graph", "tiny/nothing"], "There is no graph"),
        (["x", "--circuit", "tiny/nothing"], "no circuit"),
        (["x", "--label", "tiny/features/39"], "has no label"),
        (["x", "--list", "foxes", "--title", "a\nb"], "A title is one line"),
        (["../x", "--list", "foxes"], "is no name for a file"),
        ([".", "--list", "foxes"], "is no name for a file"),
        (["tiny", "--list", "foxes"], "is there already"),
    ],
)
def test_what_cannot_be_reported_is_a_sentence(
    homes: Homes,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    sentence: str,
) -> None:
    monkeypatch.setenv("FEATURESCOPE_HOME", str(homes.first))
    assert run(["report", *words, "--out", str(homes.out)]) == 1
    assert sentence in capsys.readouterr().err


def test_the_public_key_is_printed_and_read_back(
    homes: Homes,
    key: ReportKey,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    stranger: ReportKey,
) -> None:
    monkeypatch.setenv("FEATURESCOPE_HOME", str(homes.first))
    assert run(["report", "--key"]) == 0
    printed = capsys.readouterr().out
    assert f"fingerprint {key.fingerprint}" in printed
    pem = tmp_path / "key.pem"
    pem.write_text(printed)
    verify = ["verify-report", str(homes.page), "--sample", "0", "--key"]
    for right in (str(pem), key.fingerprint, key.fingerprint.upper()):
        assert run([*verify, right]) == 0
        assert "the key that you gave" in capsys.readouterr().out
    assert run([*verify, stranger.fingerprint]) == 2
    assert "somebody else made or changed it" in capsys.readouterr().err
    assert run([*verify, "nonsense"]) == 1
    assert "neither a fingerprint" in capsys.readouterr().err
    assert run(verify[:-1]) == 0
    assert "not compared with a key that you gave" in capsys.readouterr().out


def test_the_options_are_the_kinds_of_findings() -> None:
    from app.cli.commands.auditing.report import FINDINGS
    from app.exchange.report.findings.kinds import KINDS

    assert [*FINDINGS] == [kind.name for kind in KINDS]


def test_hostile_words_come_through_whole(homes: Homes, resigned: Resign) -> None:
    report = read_report(homes.page).report
    assert report.title == f"Title {HOSTILE}"
    assert report.findings[1].stated["labels"][0]["text"] == HOSTILE
