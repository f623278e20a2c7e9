"""Errors in our own words, with ways on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field, ValidationError

from app.settings import Settings
from app.store.store import open_store
from app.web.errors import sentence_of
from tests.app.pretend.clients import Client, client, filled

PYDANTIC = re.compile(
    r"[Ii]nput should|valid (integer|number|string|boolean)|unable to|parse|equal"
)


class Question(BaseModel):
    n: Annotated[int, Field(ge=1, le=9)] = 1
    x: Annotated[float, Field(gt=0, lt=2, allow_inf_nan=False)] = 1.0
    on: bool = True
    name: Annotated[str, Field(min_length=2, max_length=4)] = "ab"
    mode: Literal["add", "clamp"] = "add"
    parts: list[int] = []


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"n": 0}, "n cannot be 0: it has to be at least 1."),
        ({"n": 10}, "n cannot be 10: it has to be at most 9."),
        ({"n": "a"}, "n cannot be 'a': it has to be a whole number."),
        ({"n": 1.5}, "n cannot be 1.5: it has to be a whole number."),
        ({"n": None}, "n cannot be None: it has to be a whole number."),
        ({"n": "9" * 5000}, "it has to be a whole number with fewer digits."),
        ({"x": "warm"}, "x cannot be 'warm': it has to be a number."),
        ({"x": "nan"}, "x cannot be 'nan': it has to be a finite number."),
        ({"x": 0}, "x cannot be 0: it has to be more than 0."),
        ({"x": 2}, "x cannot be 2: it has to be less than 2."),
        ({"on": "perhaps"}, "on cannot be 'perhaps': it has to be true or false."),
        ({"name": 3}, "name cannot be 3: it has to be text."),
        ({"name": "a"}, "name cannot be 'a': it has to be at least 2 characters long."),
        ({"name": "abcde"}, "it has to be at most 4 characters long."),
        ({"mode": "push"}, "mode cannot be 'push': it has to be 'add' or 'clamp'."),
        ({"parts": 3}, "parts cannot be 3: it has to be a list."),
        (5, "the body cannot be 5: it has to be an object."),
    ],
)
def test_a_value_that_cannot_be_used(given: Any, sentence: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Question.model_validate(given)
    written = sentence_of(refused.value.errors()[0])
    assert sentence in written
    assert not PYDANTIC.search(written)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with filled(tmp_path_factory.mktemp("site")) as made:
        yield made


@pytest.mark.parametrize(
    ("address", "ways"),
    [
        ("/d/demo/mlp-12/9999", ["/d/demo/mlp-12/11", "/d/demo/mlp-12"]),
        ("/d/demo/mlp-12/-3", ["/d/demo/mlp-12/0", "/d/demo/mlp-12"]),
        ("/d/demo/mlp-12/abc", ["/d/demo/mlp-12"]),
        ("/d/demo/mlp-12/4/groups/nothing", ["/d/demo/mlp-12/4", "/d/demo/mlp-12"]),
        ("/d/demo/mlp-12?page=999", ["/d/demo/mlp-12"]),
        ("/d/demo/mlp", ["/d/demo/mlp-12", "/d/demo/neurons"]),
        ("/d/nobody/mlp-12/3", []),
        ("/nothing", []),
    ],
)
def test_what_is_not_there_leads_to_what_is(site: Client, address: str, ways: list[str]) -> None:
    answer = site.http.get(address, headers={"accept": "text/html"})
    assert answer.status_code == 404
    message = answer.text.partition('<section class="error"')[2]
    assert re.findall(r'href="([^"]*)"', message.partition("</section>")[0]) == [*ways, "/"]


def test_an_empty_store_says_how_to_fill_it(tmp_path: Path) -> None:
    with open_store(Settings(home=tmp_path)) as store, client(store, tmp_path) as made:
        page = made.get("/").text
    assert "featurescope add --model MODEL --sae DICTIONARY --corpus TEXT" in page
    assert "featurescope harvest" not in page
