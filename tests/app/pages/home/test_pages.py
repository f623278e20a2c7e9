"""What pages say."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from html import escape
from pathlib import Path

import pytest
from sqlalchemy import Engine, event

from app.errors import Overloaded, WorkerUnavailable
from app.store.store import Store
from sae_core.errors import CheckpointError
from tests import factories
from tests.app.pretend.clients import Client, client, filled

FEATURE = "/d/demo/mlp-12/0"
TAG = re.compile(r"<[^>]+>")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with filled(tmp_path_factory.mktemp("site")) as made:
        yield made


@pytest.fixture
def site(shared: Client) -> Client:
    """An application whose store no test changes."""
    shared.ablations.error = None
    shared.ablations.asked.clear()
    return shared


@pytest.fixture
def own(sqlite_store: Store, tmp_path: Path) -> Iterator[Client]:
    """An application whose store a test may change."""
    with client(sqlite_store, tmp_path) as made:
        yield made


def text(html: str) -> str:
    """The words of a page, single spaces between them."""
    return re.sub(r"\s+", " ", TAG.sub(" ", html))


def test_home_lists_dictionaries_with_their_figures(site: Client) -> None:
    page = text(site.get("/").text)
    assert "mlp-12 topk blocks.0.mlp.hook_post 12 9 25.0 % 4.2 0.125 5.56 % 1.05M" in page
    assert "neurons neuron basis" in page
    assert "random feature" in page
    assert "random neuron" in page


def test_home_polls_only_while_something_runs(own: Client) -> None:
    assert "every 2s" not in own.get("/").text
    own.store.progress.report("demo", "mlp-12", "harvesting", 300_000, 1_200_000, 30_000.0)
    page = own.get("/").text
    assert 'hx-trigger="every 2s"' in page
    assert "25 % · 300k of 1.2M tokens" in text(page)
    assert "30k tokens/s" in text(page)
    own.store.progress.clear("demo", "mlp-12")
    assert "every 2s" not in own.fragment("/").text


@pytest.mark.parametrize(
    ("phase", "words", "unit"),
    [
        ("harvesting", "reading the corpus", " tokens"),
        ("evaluating", "evaluating", " windows"),
        ("describing", "describing features", " features"),
        ("ablating", "ablating top contexts", " features"),
        ("joining", "joining", ""),
    ],
)
def test_each_phase_of_a_harvest_counts_in_its_own_unit(
    own: Client, phase: str, words: str, unit: str
) -> None:
    own.store.progress.report("demo", "mlp-12", phase, 100, 400, 2.5)
    page = text(own.fragment("/").text)
    assert f"demo / mlp-12 {words} 25.0 % 25 % · 100 of 400{unit} · 2.5{unit}/s" in page


def test_an_empty_store_says_how_to_begin(sqlite_engine: Engine, tmp_path: Path) -> None:
    with client(Store(sqlite_engine), tmp_path) as site:
        page = site.get("/").text
    assert "featurescope demo" in page
    assert 'hx-trigger="every 2s"' in page


def test_the_table_sorts_filters_and_pages(sqlite_engine: Engine, tmp_path: Path) -> None:
    store = Store(sqlite_engine)
    factories.publish(store, factories.sample(d_sae=120))
    with client(store, tmp_path) as site:
        first = site.get("/d/demo/mlp-12").text
        assert "120 features" in text(first)
        assert len(re.findall(r'<th scope="row">', first)) == 50
        assert 'href="/d/demo/mlp-12?page=2" hx-get="/d/demo/mlp-12?page=2"' in first
        last = site.get("/d/demo/mlp-12?page=3").text
        assert len(re.findall(r'<th scope="row">', last)) == 20
        dead = site.get("/d/demo/mlp-12?alive=0&sort=index&order=desc").text
        assert "30 features" in text(dead)
        assert dead.index(">119<") < dead.index(">115<")
        densest = site.get("/d/demo/mlp-12?sort=density").text
        shown = [float(v) for v in re.findall(r'<td class="n">([\d.]+) %</td>', densest)]
        assert shown == sorted(shown, reverse=True)
        assert 'aria-sort="descending"' in densest
        none = site.get("/d/demo/mlp-12?q=nowhere").text
        assert "No feature fits" in text(none)


def test_every_htmx_address_is_an_ordinary_one_too(site: Client) -> None:
    for address in ("/d/demo/mlp-12", FEATURE, f"{FEATURE}/groups/top"):
        page = site.get(address).text
        for tag in re.findall(r"<a [^>]*hx-get[^>]*>", page):
            pairs = dict(re.findall(r'([\w-]+)="([^"]*)"', tag))
            assert pairs["hx-get"] == pairs["href"]


def test_no_page_carries_inline_scripts_styles_or_handlers(site: Client) -> None:
    for address in ("/", "/d/demo/mlp-12", "/d/demo/mlp-12/about", FEATURE, "/nothing"):
        page = site.get(address).text
        assert not re.search(r"<[^>]+\sstyle=", page)
        assert not re.search(r"<[^>]+\son\w+=", re.sub(r"data-copy=\"[^\"]*\"", "", page))
        assert not re.search(r"<script(?![^>]*\ssrc=)[^>]*>", page)
        assert "<style" not in page


def test_a_feature_page_has_everything(site: Client) -> None:
    page = site.get(FEATURE).text
    words = text(page)
    view = site.store.feature(site.store.dictionary("demo", "mlp-12"), 0)
    assert f"fires on {view.record.firings:,} of 1,048,576 tokens" in words
    assert re.search(r"density [\d.]+ % \([\d.]+ % to [\d.]+ %\)", words)
    for heading in ("Activations", "Logit weights", "Raises", "Lowers", "Neurons", "Nearest"):
        assert f">{heading}" in page
    assert "Fires with" in page
    assert page.count('class="group"') == 13
    assert [f"Band {n}" in words for n in range(11)] == [True] * 11
    assert "tokens, log" in words
    assert "activation (model units)" in words
    assert 'rel="next" href="/d/demo/mlp-12/1"' in page
    assert 'rel="prev"' not in page
    assert 'rel="next"' not in site.get("/d/demo/mlp-12/11").text


def test_the_style_follows_to_neighbours_and_groups(site: Client) -> None:
    page = site.get(f"{FEATURE}?width=full&newlines=1").text
    assert "/d/demo/mlp-12/1?width=full&amp;newlines=1" in page
    assert f"{FEATURE}/groups/top?width=full&amp;newlines=1" in page
    assert 'aria-pressed="true"' in page


def test_aligned_neurons_lead_to_the_neuron_basis_and_back(site: Client) -> None:
    feature = site.get(FEATURE).text
    assert re.search(r'<a href="/d/demo/neurons/\d+">', feature)
    neuron = site.get("/d/demo/neurons/0").text
    assert "neuron 0" in neuron
    assert "Written by" in neuron
    assert re.search(r'<a href="/d/demo/mlp-12/\d+">', neuron)
    assert "feature 0" not in neuron


@pytest.mark.parametrize(
    ("details", "linked"),
    [({"writers": "second"}, "second"), ({"writers": "gone"}, None), ({}, None)],
)
def test_neurons_link_to_the_writers_they_were_harvested_with(
    sqlite_engine: Engine, tmp_path: Path, details: dict[str, str], linked: str | None
) -> None:
    store = Store(sqlite_engine)
    neurons = factories.neurons_sample()
    dictionary = replace(neurons.dictionary, details=details)
    for sample in (
        factories.sample(),
        factories.sample(dictionary="second", checksum="d" * 64),
        replace(neurons, dictionary=dictionary),
    ):
        factories.publish(store, sample)
    with client(store, tmp_path) as site:
        page = site.get("/d/demo/neurons/0").text
    assert "Written by" in page
    assert set(re.findall(r'href="/d/demo/(mlp-12|second)/\d+"', page)) == {linked} - {None}


@pytest.mark.parametrize(
    ("fvu", "neurons", "said"), [(0.125, True, True), (1e-7, True, False), (0.125, False, False)]
)
def test_neurons_that_can_be_negative_say_so(
    sqlite_engine: Engine, tmp_path: Path, fvu: float, neurons: bool, said: bool
) -> None:
    store = Store(sqlite_engine)
    sample = factories.neurons_sample() if neurons else factories.sample()
    dictionary = replace(sample.dictionary, evaluation={"fvu": fvu})
    factories.publish(store, replace(sample, dictionary=dictionary))
    sentence = (
        "Neurons that can be negative are shown by their positive side; "
        "what is negative stays in the error."
    )
    with client(store, tmp_path) as site:
        start = f"/d/demo/{sample.dictionary.name}"
        assert (sentence in site.get(f"{start}/about").text) is said
        assert (f'title="{sentence}"' in site.get(f"{start}/0").text) is said


def test_without_a_neuron_basis_neurons_are_plain_numbers(
    sqlite_engine: Engine, tmp_path: Path
) -> None:
    store = Store(sqlite_engine)
    factories.publish(store, factories.sample())
    with client(store, tmp_path) as site:
        page = site.get(FEATURE).text
    assert ">Neurons" in page
    assert "/d/demo/neurons/" not in page


def test_a_dead_feature_says_so(site: Client) -> None:
    page = site.get("/d/demo/mlp-12/3").text
    assert "This feature is dead" in page
    assert "1,048,576 tokens" in page
    assert 'id="contexts"' not in page
    assert ">Raises" in page


def test_a_label_is_shown_escaped(own: Client) -> None:
    dictionary = own.store.dictionary("demo", "mlp-12")
    own.store.labels.add(dictionary, 0, "<b>the \u202eword</b>")
    page = own.get(FEATURE).text
    assert "&lt;b&gt;the U+202Eword&lt;/b&gt;" in page
    assert "&lt;b&gt;the U+202Eword" in own.get("/d/demo/mlp-12?sort=label&order=desc").text


def test_hostile_tokens_are_inert_and_visible(site: Client) -> None:
    page = "".join(site.get(f"/d/demo/mlp-12/{i}?width=full").text for i in (0, 1, 2))
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "\u202e" not in page
    assert "\x00" not in page
    for shown in ("U+202E", "␀", "\\xff", "\\xed\\xa0\\x80", "&amp;amp;", "&quot; onmouseover"):
        assert shown in page
    assert "pkg/&lt;b&gt;mod&lt;/b&gt;.py" in page


def test_underlines_come_from_the_store_where_it_has_them(own: Client) -> None:
    dictionary = own.store.dictionary("demo", "mlp-12")
    view = own.store.feature(dictionary, 0)
    top = view.record.groups[0].examples.windows.tolist()
    before = own.get(FEATURE).text
    assert 'id="underlines-top"' in before
    assert 'hx-trigger="load"' in before
    assert before.count('hx-trigger="revealed"') == 12
    own.store.save_effects(dictionary, 0, {w: factories.effect(0, w) for w in top})
    after = own.get(FEATURE).text
    assert 'id="underlines-top"' not in after
    assert re.search(r"class=[\"\w ]*[un][1-6]", after)
    assert own.ablations.asked == []


def test_a_group_asks_for_its_own_contexts_only(site: Client) -> None:
    fragment = site.fragment(f"{FEATURE}/groups/band-5")
    view = site.store.feature(site.store.dictionary("demo", "mlp-12"), 0)
    band = next(group for group in view.record.groups if group.number == 5)
    assert site.ablations.asked == [("mlp-12", 0, band.examples.windows.tolist())]
    assert fragment.text.startswith('<section class="group" id="group-band-5"')
    assert "data-e" in fragment.text
    assert "underlines-" not in fragment.text


@pytest.mark.parametrize(("attempt", "wait"), [(0, 1), (1, 2), (3, 8), (4, 16), (99, 16)])
def test_without_the_worker_a_sentence_asks_again_later(
    site: Client, attempt: int, wait: int
) -> None:
    site.ablations.error = WorkerUnavailable("The worker is starting again.")
    answer = site.fragment(f"{FEATURE}/groups/top?width=full&attempt={attempt}")
    assert answer.status_code == 503
    assert answer.headers["hx-retarget"] == "#underlines-top"
    assert answer.headers["hx-reswap"] == "outerHTML"
    assert answer.headers["retry-after"] == str(wait)
    assert "The worker is starting again." in answer.text
    assert f'hx-trigger="click, load delay:{wait}s"' in answer.text
    assert f"width=full&amp;attempt={attempt + 1}" in answer.text


def test_a_busy_worker_says_when(site: Client) -> None:
    site.ablations.error = Overloaded("The worker has a long queue.", retry_after=7)
    assert "load delay:7s" in site.fragment(f"{FEATURE}/groups/top").text
    page = site.get(f"{FEATURE}/groups/top")
    assert (page.status_code, page.headers["retry-after"]) == (503, "7")
    assert "long queue" in page.text


def test_what_waiting_does_not_mend_is_not_asked_again(site: Client) -> None:
    site.ablations.error = CheckpointError("The weights of mlp-12 are not those recorded.")
    answer = site.fragment(f"{FEATURE}/groups/top")
    assert answer.status_code == 503
    assert "not those recorded" in answer.text
    assert "delay" not in answer.text


def test_a_widened_context_never_waits_for_the_worker(site: Client) -> None:
    fragment = site.fragment(f"{FEATURE}/contexts/top/0?width=full").text
    assert fragment.startswith('<li class="full" id="top-0"')
    assert site.ablations.asked == []
    document = site.get(f"{FEATURE}/contexts/top/0?width=full").text
    assert len(site.ablations.asked) == 1
    assert "Its tokens in numbers" in document


def test_a_context_without_its_ablation_says_why(site: Client) -> None:
    for error in (WorkerUnavailable("Away."), CheckpointError("Not the weights <recorded>.")):
        site.ablations.error = error
        answer = site.get(f"{FEATURE}/contexts/top/0?width=full")
        assert answer.status_code == 200
        said = f"What ablation does here is not known yet. {escape(str(error))}"
        assert said in answer.text


def test_provenance_names_everything_a_figure_depends_on(site: Client) -> None:
    page = text(site.get("/d/demo/mlp-12/about").text)
    dictionary = site.store.dictionary("demo", "mlp-12")
    for fact in (
        "a" * 64,
        "b" * 64,
        "c" * 64,
        dictionary.digest,
        "1,048,576",
        "float32",
        "L_recon",
    ):
        assert fact in page
    assert "a.py, b.py" in page
    assert "This dictionary has not been evaluated" not in page


def test_provenance_puts_no_comma_between_sentences(sqlite_engine: Engine, tmp_path: Path) -> None:
    store = Store(sqlite_engine)
    sample = factories.sample()
    details = {"warnings": ["Is it the layer?", "Give <another>."], "files": ["a.pt"], "none": []}
    factories.publish(
        store, replace(sample, dictionary=replace(sample.dictionary, details=details))
    )
    with client(store, tmp_path) as site:
        page = site.get("/d/demo/mlp-12/about").text
    assert "Is it the layer? Give &lt;another&gt;." in page


@pytest.mark.parametrize(
    ("known", "heading", "sentence"),
    [
        ({"held_out": True}, "Fit, on held-out text", "one document in fifty, by the hash"),
        ({"held_out": False}, "Fit, on the harvested text", "none of it is held out"),
        ({}, "Fit", None),
    ],
)
def test_the_fit_says_on_which_text(
    sqlite_engine: Engine,
    tmp_path: Path,
    known: dict[str, bool],
    heading: str,
    sentence: str | None,
) -> None:
    store = Store(sqlite_engine)
    sample = factories.sample()
    evaluation = {**(sample.dictionary.evaluation or {}), **known}
    dictionary = replace(sample.dictionary, evaluation=evaluation)
    factories.publish(store, replace(sample, dictionary=dictionary))
    with client(store, tmp_path) as site:
        page = site.get("/d/demo/mlp-12/about").text
    assert f"<h2>{heading}</h2>" in page
    assert "its mean over the evaluated text" in page
    assert ("The figures are computed on" in page) is (sentence is not None)
    assert sentence is None or sentence in page


def test_the_number_of_statements_is_constant(own: Client) -> None:
    counted: list[str] = []
    event.listen(own.store.engine, "before_cursor_execute", lambda *given: counted.append(given[2]))
    own.get(FEATURE)

    def statements(address: str) -> int:
        counted.clear()
        assert own.get(address).status_code == 200
        return len([s for s in counted if not s.upper().startswith(("BEGIN", "PRAGMA"))])

    assert len({statements(f"/d/demo/mlp-12/{index}") for index in (0, 1, 2, 4, 5)}) == 1
    assert statements(FEATURE) <= 15  # what people say of it and its twins among them
    assert statements(f"{FEATURE}?width=full&newlines=1") == statements(FEATURE)
    assert statements("/d/demo/mlp-12") == statements("/d/demo/mlp-12?sort=density&alive=1")
