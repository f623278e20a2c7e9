"""Pages and JSON of trainings and sweeps."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.jobs.training.run_reporter import RunReporter
from app.jobs.training.sweeps.records import import_sweep, write_record
from app.store.store import Store
from app.store.tables.runs import time as clock
from tests.app.jobs.training.sweeps.test_sweep_plan import made
from tests.app.pretend.clients import HX, Client, client
from tests.app.pretend.runs import EVALUATION, config, point, record

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
                setting["dead_after"] = 50_000
                made = record(
                    name,
                    sweep="s",
                    config=setting,
                    evaluation=figures,
                    cost={"seconds": 12.0, "peak_bytes": 5e8},
                )
                site.store.runs.put(made, [point(50), point(100, dead_share=0.0625)])
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
    assert "hx-trigger" not in page.text.partition("<main")[2]
    assert "demo / mlp-12" in text(page.text)
    assert "0.1250" in page.text


def test_a_run_that_failed_says_why_and_how_to_go_on(site: Client) -> None:
    long = {"tokens": 400_000}
    failed = record("f", status="failed", message=f"NaN in {HOSTILE}", evaluation=None, config=long)
    site.store.runs.put(failed, [point(250)])
    page = site.get("/runs/f")
    assert HOSTILE not in page.text
    assert "NaN in &lt;script&gt;" in page.text
    assert "It goes on from its last checkpoint" in text(page.text)


@pytest.mark.parametrize("points", [[], [200]])
@pytest.mark.parametrize(
    ("status", "said"),
    [("failed", "fails again unless what is said above is mended"), ("stopped", "begins anew")],
)
def test_without_a_checkpoint_nothing_is_promised(
    site: Client, status: str, said: str, points: list[int]
) -> None:
    made = record("f", status=status, evaluation=None, config={"tokens": 400_000})
    site.store.runs.put(made, [point(step) for step in points])
    page = text(site.get("/runs/f").text)
    assert "last checkpoint" not in page
    assert said in page


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"held_out": True}, "Measured on held-out text"),
        ({"held_out": False}, "Measured on the training text (none is held out)"),
        ({}, "Measured on the text of its evaluation"),
        ({"held_out": [1]}, "Measured on the text of its evaluation"),
    ],
)
def test_a_run_says_on_which_text_it_was_measured(
    site: Client, settings: dict[str, object], said: str
) -> None:
    site.store.runs.put(record(settings=settings, sweep="one"), [point(100)])
    page = text(site.get("/runs/first").text)
    assert said in page
    assert ("held-out" in page) is (settings.get("held_out") is True)
    assert "held-out text" not in site.get("/runs?sweep=one").text
    swept = text(site.get("/sweeps/one").text).lower()
    assert ("held-out" in swept) is (settings.get("held_out") is True)
    assert ("none is held out" in swept) is (settings.get("held_out") is False)


def test_a_run_says_which_learning_rate_was_used(site: Client) -> None:
    def rate(**changes: object) -> str:
        site.store.runs.put(record(**changes), [])
        page = site.get("/runs/first").text.replace("&#39;", "'")
        found = re.search(r"learning rate (.+?) normalisation", text(page))
        assert found
        return found[1]

    assert rate() == "the architecture's own"
    assert rate(settings={"learning_rate": 0.0012}) == "0.0012"
    assert rate(config={"learning_rate": 0.5}) == "0.5"


def test_a_transcoders_run_says_both_hook_points(swept: Client) -> None:
    ends = {"output_hook_point": HOSTILE, "skip": True}
    swept.store.runs.put(record("pair", settings=ends), [])
    page, listed = swept.get("/runs/pair").text, swept.get("/runs").text
    assert HOSTILE not in page + listed
    assert "reads at blocks.0.mlp.hook_post writes at" in text(page)
    assert "skip connection yes" in text(page)
    assert "blocks.0.mlp.hook_post to" in text(listed)
    assert "output hook point" not in text(page)
    answer = swept.get("/api/v1/runs/pair").json()
    assert (answer["output_hook_point"], answer["skip"]) == (HOSTILE, True)
    swept.store.runs.put(record("alone"), [])
    assert "hook point blocks.0.mlp.hook_post" in text(swept.get("/runs/alone").text)
    answer = swept.get("/api/v1/runs/alone").json()
    assert (answer["output_hook_point"], answer["skip"]) == (answer["hook_point"], False)


def test_a_run_says_how_its_pages_are_made(site: Client) -> None:
    site.store.runs.put(record(checksum="c" * 64), [])
    page = text(site.get("/runs/first").text)
    assert "add --model MODEL --sae somewhere/first --corpus TEXT --context 128" in page
    assert "in the place of MODEL" in page
    told = "featurescope add --model m --sae 'my sae' --corpus c"
    site.store.runs.put(record(checksum="c" * 64, settings={"pages": told}), [])
    page = site.get("/runs/first").text
    assert "featurescope add --model m --sae &#39;my sae&#39; --corpus c</code>" in page
    assert "MODEL" not in page
    assert page.count("featurescope add") == 1


def test_features_are_dead_once_the_window_is_full(site: Client) -> None:
    for name, tokens in (("short", 400_000), ("long", 600_000)):
        made = record(name, config={"tokens": tokens}, evaluation=EVALUATION | {"dead_share": 0.5})
        site.store.runs.put(made, [point(tokens // 1000, dead_share=0.125)])
    assert "12.5 %" in text(site.get("/runs/long").text)
    short = text(site.get("/runs/short").text)
    assert "12.5 %" not in short
    assert "silent 0.5000" in short
    listed = site.get("/runs").text
    assert re.findall(r'data-name="dead">(.*?)<', listed) == ["–", "12.5 %"]


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
    for address in ("/runs?sweep=nobody", "/api/v1/runs?sweep=nobody"):
        missing = swept.get(address)
        assert missing.status_code == 404
        assert "There is no sweep" in missing.text
    many = "&".join(f"with=r{n}" for n in range(41))
    refused = swept.get(f"/runs?{many}")
    assert (refused.status_code, "41 runs are too many" in refused.text) == (422, True)


def test_a_sweep_says_who_wins(swept: Client) -> None:
    page = swept.get("/sweeps/s")
    said = text(page.text)
    assert "8 of 9 runs finished" in said
    assert HOSTILE not in page.text
    assert page.text.count('<svg class="plot"') == 3
    assert "L0 8 64 batchtopk 0.50 , 2 seeds topk 0.63 0.001 clear" in said
    assert "within seed noise" in said  # the FVUs are equal
    table = swept.http.get("/sweeps/s?sort=l0&order=desc", headers=HX).text
    assert table.startswith('<section class="block" id="results"')
    assert 'aria-sort="descending"' in table
    first = re.search(r'<th scope="row"><a href="/runs/([^"]+)"', table)
    assert first
    assert first[1] == "s.batchtopk-16-1"
    assert table.count("◆</abbr>") == 2


def test_dead_and_silent_are_told_apart(swept: Client) -> None:
    page = swept.get("/sweeps/s")
    said = text(page.text)
    assert "did not fire in the last 50,000 or 500,000 tokens of its training" in said
    assert page.text.count('data-name="dead">6.2 %') == 8
    assert page.text.count('data-name="silent">1.0 %') == 8
    row = swept.get("/api/v1/sweeps/s").json()["rows"][0]
    assert (row["dead_share"], row["silent_share"]) == (0.0625, 0.01)


def test_borrowed_noise_is_named(site: Client) -> None:
    for architecture, loss in (("topk", 0.05), ("gated", 0.06)):
        for l0, seeds in ((8, 1), (16, 2)):
            for seed in range(seeds):
                figures = EVALUATION | {"l0": l0, "extra_loss_fraction": loss / l0 + 1e-4 * seed}
                made = record(
                    f"s.{architecture}-{l0}-{seed}",
                    sweep="s",
                    config={"architecture": architecture, "l0": l0, "seed": seed},
                    evaluation=figures,
                )
                site.store.runs.put(made, [])
    said = text(site.get("/sweeps/s").text)
    assert "L0 8 64 topk 0.62 gated 0.75 0.007 of L0 16 clear if it is the same here" in said
    assert "L0 16 64 topk 0.32 , 2 seeds gated 0.38 0.007 clear" in said
    assert "the noise of other L0s, which are named, stands in" in said
    held = site.get("/api/v1/sweeps/s").json()["contests"]
    assert [(one["target"], one["noise_from"]) for one in held[:2]] == [(8, [16]), (16, [16])]


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


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"evaluation": EVALUATION | {"l0": 0, "fvu": 0, "dead_share": 0, "l_zero": 2.5}},
        {"evaluation": EVALUATION | {"extra_loss_fraction": 1e12, "fvu": 1e12, "kl": -1e12}},
        {"evaluation": {"l0": 1, "fvu": 1, "l_clean": 1, "l_recon": 1, "dead_share": 1}},
        {"evaluation": EVALUATION | {"details": {"intervals": {"l0": [1.5, 2]}}}},
        {"evaluation": EVALUATION | {"details": None}, "cost": {}},
        {"curve": (point(50, loss=math.nan, fvu=1e15, dead_share=math.inf), point(100, l0=-1e15))},
        {"settings": {"evaluation_tokens": 0, "a": [None, {"b": [1, "c"]}], "pages": HOSTILE}},
        {"message": HOSTILE, "model": HOSTILE, "hook_point": HOSTILE, "folder": HOSTILE},
        {"status": "failed", "evaluation": None, "curve": (), "checksum": None},
    ],
)
def test_whatever_file_of_a_sweep_is_taken_has_its_pages(
    site: Client, tmp_path: Path, changes: dict[str, Any]
) -> None:
    write_record(tmp_path / "sweep", made(**changes))
    import_sweep(site.store, tmp_path / "sweep")
    name = "s.topk-64-l8-s0"
    for address in (f"/runs/{name}", f"/runs?sweep=s&with={name}", "/sweeps/s"):
        page = site.get(address)
        assert page.status_code == 200
        assert HOSTILE not in page.text
        assert site.get(f"/api/v1{address}").status_code == 200
