"""The prompt page's part in other pages."""

from __future__ import annotations

import re

from app.worker.protocol.requests import AblateRequest, ReadRequest
from tests.app.pages.home.test_pages import text as words
from tests.app.pretend.clients import HX
from tests.app.pretend.prompt_site import PAGE, Prompts, address, rows


def test_a_feature_page_asks_for_what_its_own_feature_does(on: Prompts) -> None:
    headers = HX | {"HX-Target": "div#test-result"}
    answer = on.site.http.get(address(d="mlp-12", feature="mlp-12:8"), headers=headers)
    assert answer.status_code == 200
    assert answer.text.lstrip().startswith('<div id="test-result"')
    assert rows(answer.text) == []
    assert "choosable" not in answer.text
    assert re.search(r'class="strip".*class="a\d', answer.text, re.S)
    assert [type(one) for one in on.live.asked] == [ReadRequest, AblateRequest]
    silent = on.site.http.get(address(" word63", d="mlp-12", feature="mlp-12:8"), headers=headers)
    assert "does not fire on any of these 2 tokens" in words(silent.text)
    refused = on.site.http.post(
        PAGE, content="text=&feature=mlp-12:8", headers=headers, follow_redirects=False
    )
    assert refused.status_code == 422
    assert "The prompt is empty" in refused.text


def test_pages_lead_to_prompts_and_steering(on: Prompts) -> None:
    home = on.site.get("/").text
    assert 'href="/m/demo/prompt" data-key-prompt' in home
    assert 'href="/m/demo/steer" data-key-steer' in home
    table = on.site.get("/d/demo/mlp-12").text
    assert 'href="/m/demo/prompt?d=mlp-12"' in table
    assert table.count('href="/m/demo/steer?f=mlp-12:') == 9, "dead features cannot be steered"
    feature = on.site.get("/d/demo/mlp-12/8").text
    assert 'href="/m/demo/steer?f=mlp-12:8"' in feature
    assert '<form class="test" id="test" method="post" action="/m/demo/prompt"' in feature
    assert "steer this" not in on.site.get("/d/demo/mlp-12/3").text
