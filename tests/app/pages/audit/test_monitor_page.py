"""The pages of monitors, their JSON, and their twins in Python."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from app.client import FeaturescopeClient
from app.client.transport import RequestFailed
from app.store.written.audit.monitors import monitors as storing
from tests.app.pretend import monitors as made
from tests.app.pretend.clients import Client, filled

ADDRESS = "/monitors/rude-b"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with filled(tmp_path_factory.mktemp("site")) as made_site:
        yield made_site


@pytest.fixture
def site(shared: Client) -> Client:
    """A site without monitors."""
    for line in shared.store.audit.monitors.all():
        shared.store.audit.monitors.forget(line.name)
    return shared


@pytest.fixture
def monitor(site: Client) -> Client:
    site.store.audit.monitors.save(made.record())
    return site


def test_a_monitor_is_kept_once_and_comes_back_as_it_was(monitor: Client) -> None:
    store = monitor.store.audit.monitors
    again = store.save(made.record())
    assert [line.name for line in store.all()] == [again.name] == ["rude-b"]
    assert again.record == made.record()
    assert store.asked("d" * 64) == again
    assert store.save(made.record("other")).name == "other"


def test_the_page_says_what_was_asked_for_and_what_was_observed(monitor: Client) -> None:
    page = monitor.get(ADDRESS).text
    stated = made.record().details.threshold.stated
    assert "It reads 2 features, weighted" in page
    assert "a false-positive rate of at most 5.00 %" in page
    assert f"raised {stated.alarms} alarms on {stated.texts} texts of other documents" in page
    assert "Recall on 20 texts of rude" in page
    assert "None so far." in page
    assert 'href="/d/demo/mlp-12/3"' in page
    assert "featurescope watch rude-b" in page


def test_hostile_texts_and_names_are_shown_inert(monitor: Client) -> None:
    monitor.store.audit.monitors.raise_alarm(made.alarm("rude-b"), "it answered 500")
    for address in (ADDRESS, "/monitors"):
        page = monitor.get(address).text
        for text in ("<script>alert(1)", "\u202e", "<b>", "<i>file", "rude <s>", "corpus <u>"):
            assert text not in page
    page = monitor.get(ADDRESS).text
    assert "&lt;script&gt;alert(1)" in page
    assert "1 alarms were not taken by the webhook; the last time it answered 500." in page


def test_the_newest_alarms_are_kept_and_all_are_counted(
    monitor: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storing, "MOST_ALARMS", 3)
    store = monitor.store.audit.monitors
    for n in range(5):
        store.raise_alarm(made.alarm("rude-b", level=float(n)), "sent" if n else "no answer")
    assert sorted(one.record.level for one in store.alarms("rude-b")) == [2.0, 3.0, 4.0]
    view = store.view("rude-b")
    assert (view.raised, view.unsent) == (5, 1)
    store.forget("rude-b")
    store.save(made.record())
    assert store.alarms("rude-b") == []


def test_json_and_client_say_the_same(monitor: Client) -> None:
    monitor.store.audit.monitors.raise_alarm(made.alarm("rude-b"), "")
    answer = monitor.get(f"/api/v1{ADDRESS}").json()
    details = made.record().details
    assert answer["threshold"] == details.threshold.threshold
    assert answer["stated"]["alarms"] == details.threshold.stated.alarms
    assert answer["labelled"]["recall"]["texts"] == 20
    assert answer["alarms"][0]["token"] == made.HOSTILE
    client = FeaturescopeClient("http://127.0.0.1:8000", http=monitor.http)
    assert [line.name for line in client.audit.monitors()] == ["rude-b"]
    assert client.audit.monitor("rude-b").model_dump(mode="json") == answer
    with pytest.raises(RequestFailed, match="There is no monitor 'none'"):
        client.audit.monitor("none")


def test_a_monitor_of_other_weights_or_of_none_says_so(site: Client) -> None:
    record = made.record()
    changed = site.store.audit.monitors.save(replace(record, checksum="f" * 64, title="changed"))
    gone = site.store.audit.monitors.save(replace(record, dictionary="gone", title="gone"))
    assert "made with other weights" in site.get(f"/monitors/{changed.name}").text
    assert "which the store has no longer" in site.get(f"/monitors/{gone.name}").text
    assert site.get(f"/api/v1/monitors/{changed.name}/level?text=x").status_code == 422
    assert site.get(f"/api/v1/monitors/{gone.name}/level?text=x").status_code == 404
    body = {"model": "demo", "messages": [{"role": "user", "content": "x"}]}
    for name, status in ((changed.name, 400), (gone.name, 404), ("none", 404)):
        asked = body | {"featurescope": {"monitors": [name]}}
        assert site.http.post("/v1/chat/completions", json=asked).status_code == status


@pytest.mark.parametrize(
    ("own", "words"),
    [
        ({"gate": "refuse"}, "A gate needs a monitor"),
        ({"gate": "steer", "monitors": ["rude-b"]}, "needs edits in gate_edits"),
        ({"gate": "shout", "monitors": ["rude-b"]}, "gate"),
        ({"monitors": ["rude-b"] * 9}, "monitors"),
    ],
)
def test_a_gate_that_makes_no_sense_is_refused(
    monitor: Client, own: dict[str, object], words: str
) -> None:
    body = {"model": "demo", "messages": [{"role": "user", "content": "x"}], "featurescope": own}
    answer = monitor.http.post("/v1/chat/completions", json=body)
    assert answer.status_code == 400
    assert words in answer.json()["error"]["message"]


def test_nothing_and_nonsense(site: Client) -> None:
    assert "There is no monitor yet" in site.get("/monitors").text
    assert site.get("/monitors/none").status_code == 404
    assert site.get("/api/v1/monitors/%00").status_code == 404
