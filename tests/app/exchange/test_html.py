"""Features as one file: nothing in it is alive, nothing refers elsewhere, all of it is there."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from app.cli.main import run
from app.errors import InvalidRequest, NotFound
from app.exchange.html.write import export_html
from app.store.store import Store
from tests import factories

MOST_BYTES = 150_000  # a feature


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


@pytest.fixture
def exported(sqlite_store: Store, tmp_path: Path) -> str:
    view = sqlite_store.dictionary("demo", "mlp-12")
    sqlite_store.labels.add(view, 4, "</article><script>alert(1)</script>")
    page = sqlite_store.feature(view, 4)
    sqlite_store.save_effects(view, 4, {n: factories.effect(4, n) for n in page.windows})
    size = export_html(sqlite_store, view, [4, 3, 4, 0], tmp_path / "out.html")
    assert size == (tmp_path / "out.html").stat().st_size < 3 * MOST_BYTES
    return (tmp_path / "out.html").read_text()


def test_nothing_is_alive_and_nothing_is_elsewhere(exported: str) -> None:
    parsed = _Parsed(exported)
    names = {tag for tag, _ in parsed.tags}
    assert not names & {"script", "link", "img", "iframe", "object", "form", "base", "button"}
    for _, attributes in parsed.tags:
        assert "src" not in attributes
        assert attributes.get("href", "#")[:1] == "#"
        assert not [name for name in attributes if name.startswith(("on", "hx-"))]
    assert not re.search(r"url\(|@import|https?://", exported)
    assert "default-src 'none'" in exported


def test_each_feature_is_there_once_with_its_numbers(exported: str, sqlite_store: Store) -> None:
    parsed = _Parsed(exported)
    articles = [attributes["id"] for tag, attributes in parsed.tags if tag == "article"]
    assert articles == ["f4", "f3", "f0"]
    record = sqlite_store.feature(sqlite_store.dictionary("demo", "mlp-12"), 4).record
    assert f"fires on {record.firings:,} of 1,048,576 tokens".replace(",", " ") in (
        parsed.text.replace(",", " ")
    )
    lines = [attributes for tag, attributes in parsed.tags if tag == "li" and "title" in attributes]
    shown = [
        len(group.examples)
        for index in (4, 0)
        for group in sqlite_store.feature(
            sqlite_store.dictionary("demo", "mlp-12"), index
        ).record.groups
    ]
    assert len(lines) == sum(shown)


def test_tokens_carry_their_numbers(exported: str) -> None:
    titles = [
        a["title"] or "" for tag, a in _Parsed(exported).tags if tag == "bdi" and "title" in a
    ]
    assert any(title.startswith("activation ") for title in titles)
    assert any("Δloss if ablated −" in title for title in titles)
    assert all(a.get("class") for tag, a in _Parsed(exported).tags if tag == "bdi" and "title" in a)


def test_what_is_hostile_is_text(exported: str) -> None:
    parsed = _Parsed(exported)
    assert "<script>alert(1)</script>" in parsed.text
    assert "onmouseover" in parsed.text


def test_what_is_not_known_is_said(exported: str) -> None:
    text = _Parsed(exported).text
    assert "fired on none of the tokens" in text  # feature 3 is dead
    assert re.search(r"\d+ of its \d+ contexts have no underlines", text)  # feature 0


def test_wrong_requests_are_explained(sqlite_store: Store, tmp_path: Path) -> None:
    view = sqlite_store.dictionary("demo", "mlp-12")
    with pytest.raises(NotFound, match="features 0 to 11"):
        export_html(sqlite_store, view, [12], tmp_path / "a.html")
    with pytest.raises(InvalidRequest, match="501 features are asked for"):
        export_html(sqlite_store, view, range(501), tmp_path / "a.html")
    assert list(tmp_path.glob("*.html")) == []
    (tmp_path / "a.html").write_text("mine")
    with pytest.raises(InvalidRequest, match="exists already"):
        export_html(sqlite_store, view, [1], tmp_path / "a.html")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "Give MODEL/DICTIONARY with --format and --out"),
        (["demo/mlp-12", "--format", "html", "--out", "x"], "--features goes with --format html"),
        (["demo/mlp-12", "--bundle", "x"], "--bundle takes the whole store"),
        (["demo/mlp-12", "--format", "saelens", "--out", "x", "--features", "1"], "--features"),
        (["demo/mlp-12", "--format", "neuronpedia"], "--out"),
    ],
)
def test_options_that_do_not_go_together(
    words: list[str],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("FEATURESCOPE_HOME", str(tmp_path))
    assert run(["export", *words]) == 1
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize("words", ["", "a", "3-1", "1,,2", "-1", "9999999999", "0-999999999"])
def test_features_that_are_none(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run(["export", "a/b", "--format", "html", "--out", "x", f"--features={words}"])
    assert ended.value.code == 2
    assert "argument --features" in capsys.readouterr().err
