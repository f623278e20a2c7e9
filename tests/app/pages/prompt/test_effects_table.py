"""The features responsible for a prediction: what is flagged, and what is done with the checked."""

from __future__ import annotations

import re

from tests.app.pages.home.test_pages import text as words
from tests.app.pretend.prompt_site import PAGE, PROMPT, Prompts
from tests.app.pretend.prompts import tokens_of


def test_checked_features_are_ablated_and_steered_together(on: Prompts) -> None:
    page = on.page()
    # Nothing is explained yet: it would be the token after the prompt.
    form = re.search(r'<form id="to-together".*?</form>', page, re.S)
    assert form
    assert f'name="target" value="{len(tokens_of(PROMPT))}"' in form[0]
    assert 'name="a" value="mlp-12:8"' in page
    assert f'form="to-together" formaction="{PAGE}/steer"' in page
    asked = f"{PAGE}/steer?text=x&target=3&a=mlp-12:8&a=mlp-12:1&a=mlp-12:8"
    steer = on.site.get(asked)
    assert steer.headers["location"] == "/m/demo/steer?text=x&f=mlp-12:8&f=mlp-12:1"
    many = "&".join(f"a=mlp-12:{n}" for n in range(20))
    assert on.site.get(f"{PAGE}/steer?{many}").headers["location"].count("f=") == 16
    together = on.page(target=5, a=["mlp-12:1", "mlp-12:8"], exact=1)
    bar = re.search(r'<section class="checked".*?</section>', together, re.S)
    assert bar
    assert "2 checked: ablate together steer together uncheck all" in words(bar[0])
    assert "not additive" in words(bar[0])


def test_an_estimate_of_the_wrong_sign_is_flagged_in_words(on: Prompts) -> None:
    assert "wrong sign" not in on.page(target=5, exact=1)
    on.site.forget_prompts()
    on.live.slope = -0.5
    page = on.page(target=5, exact=1)
    changed = [
        (float(estimate.replace("−", "-")), float(exact.replace("−", "-")), flag)
        for estimate, flag, exact in re.findall(
            r'data-name="estimate">([^ <]*)(.*?)</td>.*?data-name="exact">([^<]*)<', page, re.S
        )
    ]
    assert changed
    for estimate, exact, flag in changed:
        assert ("≠</span> wrong sign" in flag) == (estimate * exact < 0)
    n = sum(bool(flag) for *_, flag in changed)
    assert f"{n} estimates below have the wrong sign" in words(page)


def test_a_set_may_hold_features_of_dictionaries_that_are_not_read(on: Prompts) -> None:
    page = on.page(target=5, a=["mlp-12:1", "neurons:3"], exact=1)
    assert "1 feature of neurons: 3" in words(page)
