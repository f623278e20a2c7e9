"""Pages and JSON of trainings and sweeps."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.run_reporting import RunReporter
from app.store import Store
from app.store_runs import time as clock
from tests.app.clients import HX, Client, client
from tests.app.runs_made import EVALUATION, config, point, record

HOSTILE = "<script>alert(1)</script>"


@pytest.fixture
def site(sqlite_store: Store, tmp_path: Path) -> Iterator[Client]:
    with client(sqlite_store, tmp_path) as made:
        yield made


@pytest.fixture
def swept(site: Client) -> Client:
    """A sweep of two architectures with two seeds each at one L0, one at another, and a failure."""
    for architecture, extra in (("topk", 0.05), ("batchtopk", 0.04)):
        for l0 in (8, 16):
            for seed in (0, 1):
                figures = EVALUATION | {
                    "l0": l0 + 0.1 * seed,
                    "extra_loss_fraction": extra / l0 + 1e-5 * seed,
                }
                name = f"s.{architecture}-{l0}-{seed}"
                setting = {"architecture": architecture, "l0": l0, "seed": seed}
                made = record(
                    name,
                    sweep="s",
                    config=setting,
                    evaluation=figures,
                    cost={"seconds": 12.0, "peak_bytes": 5e8},
                )
                site.store.runs.put(made, [point(50), point(100)])
    failed = record(
        "s.bad", sweep="s", status="failed", message=HOSTILE, evaluation=None, checksum=None
    )
    site.store.runs.put(failed, [])
    return site


def text(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


def test_no_run_yet(site: Client) -> None:
    page = site.get("/runs")
    assert page.status_code == 200
    assert "Nothing trained yet" in page.text
    assert 'href="/runs"' in site.get("/").text


def test_a_run_while_it_trains_and_afterwards(
    site: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"corpus": HOSTILE, "command": "featurescope train --out x"}
    run = RunReporter(site.store, "live", config(), "demo", "blocks.0.mlp.hook_post", settings)
    page = site.get("/runs/live")
    assert 'hx-get="/runs/live" hx-trigger="every 2s"' in page.text
    assert "The first point of the curves comes" in page.text
    run.on_point(point(50))
    page = site.get("/runs/live")
    assert HOSTILE not in page.text
    assert "step 50 of 100" in text(page.text)
    assert page.text.count('<svg class="plot"') == 5  # TopK has no penalty
    fragment = site.fragment("/runs/live")
    assert fragment.text.startswith('<section id="run"')
    assert "<html" not in fragment.text
    later = clock.time() + 300
    monkeypatch.setattr(clock, "time", lambda: later)
    said = text(site.fragment("/runs/live").text)
    assert "Nothing was heard of it for 5 min 00 s." in said
    assert "featurescope train --out x" in said
    assert "silent for 5 min" in text(site.get("/runs").text)
    run.on_point(point(100))
    assert "trained, being evaluated" in site.get("/runs/live").text
    dictionary = site.store.dictionary("demo", "mlp-12")
    run.finish(EVALUATION, "out", dictionary.checksum)
    page = site.get("/runs/live")
    assert "hx-trigger" not in page.text
    assert "demo / mlp-12" in text(page.text)
    assert "0.1250" in page.text


def test_a_run_that_failed_says_why_and_how_to_go_on(site: Client) -> None:
    failed = record("f", status="failed", message=f"NaN in {HOSTILE}", evaluation=None)
    site.store.runs.put(failed, [point(50)])
    page = site.get("/runs/f")
    assert HOSTILE not in page.text
    assert "NaN in &lt;script&gt;" in page.text
    assert "goes on from its last checkpoint" in text(page.text)


def test_runs_are_compared_in_one_plot(swept: Client) -> None:
    swept.store.runs.put(record("a"), [point(50), point(100)])
    swept.store.runs.put(record("b"), [point(50), point(100)])
    page = swept.get("/runs?with=b&with=a&with=b")
    assert page.text.count(" checked") == 2
    assert page.text.count('class="line s1"') > 5
    assert "a ends at" in page.text
    assert "s.topk-8-0" not in page.text  # a sweep's runs have their own page
    assert 'href="/sweeps/s"' in page.text
    own = swept.get("/runs?sweep=s&with=s.topk-8-0")
    assert own.text.count(" checked") == 1
    assert 'name="sweep" value="s"' in own.text
    assert swept.get("/runs?with=nobody").status_code == 404
    many = "&".join(f"with=r{n}" for n in range(41))
    refused = swept.get(f"/runs?{many}")
    assert (refused.status_code, "41 runs are too many" in refused.text) == (422, True)


def test_a_sweep_says_who_wins(swept: Client) -> None:
    page = swept.get("/sweeps/s")
    said = text(page.text)
    assert "8 of 9 runs finished" in said
    assert HOSTILE not in page.text
    assert page.text.count('<svg class="plot"') == 3
    best = r"L0 8 64 batchtopk 0\.50\d+ \(0\.5005 at 8\.1\) , 2 seeds"
    assert re.search(rf"{best} topk 0\.6\d+ \(0\.6255 at 8\.1\) \S+ clear", said)
    assert "within seed noise" in said  # the FVUs are equal
    table = swept.http.get("/sweeps/s?sort=l0&order=desc", headers=HX).text
    assert table.startswith('<section class="block" id="results"')
    assert 'aria-sort="descending"' in table
    first = re.search(r'<th scope="row"><a href="/runs/([^"]+)"', table)
    assert first
    assert first[1] == "s.batchtopk-16-1"
    assert table.count("◆</abbr>") == 2


@pytest.mark.parametrize(
    ("status", "address", "said"),
    [
        (404, "/runs/nobody", "no run"),
        (404, "/sweeps/nobody", "There is no sweep"),
        (422, "/sweeps/s?sort=beauty", "use one of run, architecture"),
        (422, "/sweeps/s?order=sideways", "order"),
        (404, "/api/v1/runs/nobody", "no run"),
        (404, "/api/v1/sweeps/nobody", "There are s."),
    ],
)
def test_what_makes_no_sense_is_a_sentence(
    swept: Client, status: int, address: str, said: str
) -> None:
    answer = swept.get(address)
    assert answer.status_code == status
    assert said in answer.text


def test_the_same_as_json(swept: Client) -> None:
    swept.store.runs.put(record("a"), [point(50), point(100)])
    listed = swept.get("/api/v1/runs").json()
    assert [run["name"] for run in listed["runs"]] == ["a"]
    assert listed["sweeps"] == {"s": 9}
    assert len(swept.get("/api/v1/runs?sweep=s").json()["runs"]) == 9
    one = swept.get("/api/v1/runs/a").json()
    assert [p["step"] for p in one["curve"]] == [50, 100]
    assert one["dictionaries"] == [{"model": "demo", "dictionary": "mlp-12"}]
    found = swept.get("/api/v1/sweeps/s").json()
    assert (len(found["rows"]), found["n_runs"]) == (8, 9)
    assert found["contests"][0]["standings"][0]["architecture"] == "batchtopk"
    assert found["contests"][0]["clear"] is True
