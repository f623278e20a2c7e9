"""The address of the steering page: everything is in it, and what makes no sense is said."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.pages.steer.questions import Edit, SteerQuestion
from app.pages.steer.state import Slider, SteerState, is_number
from app.worker.protocol.requests import SteerMode, SteerScope

NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
EDITS = st.builds(
    Edit,
    dictionary=NAMES,
    feature=st.integers(0, 2**40),
    mode=st.sampled_from(SteerMode),
    strength=st.floats(-1000, 1000, allow_nan=False),
    on=st.booleans(),
)
QUESTIONS = st.builds(
    SteerQuestion,
    prompt=st.text(st.characters(exclude_categories=["Cs"]), max_size=40).filter(
        lambda text: "\r\n" not in text  # no field of a page can hold it
    ),
    edits=st.lists(EDITS, max_size=4).map(tuple),
    scope=st.sampled_from(SteerScope),
    n_tokens=st.integers(1, 100_000),
    temperature=st.floats(0, 10),
    top_p=st.floats(0.001, 1),
    top_k=st.integers(0, 1000),
    seed=st.integers(0, 2**53 - 1),
)


def pairs(address: str) -> list[tuple[str, str]]:
    return parse_qsl(urlsplit(address).query, keep_blank_values=True)


@given(QUESTIONS)
def test_the_address_restores_the_question(question: SteerQuestion) -> None:
    address = SteerState.of(question).address("a model/with: marks?")
    assert address.startswith("/m/a%20model%2Fwith%3A%20marks%3F/steer")
    again, problems = SteerState.read(pairs(address)).question()
    assert problems == {}
    assert again == question


def test_defaults_are_left_out_and_colons_are_readable() -> None:
    state = SteerState.read([("text", "def f("), ("f", "mlp-4096:17:add:4"), ("n", "40")])
    assert state.address("demo") == "/m/demo/steer?text=def%20f%28&f=mlp-4096:17:add:4"
    assert SteerState().address("demo") == "/m/demo/steer"
    assert state.address("demo", run="1").endswith("&run=1")


@pytest.mark.parametrize(
    ("text", "slider"),
    [
        ("mlp:17", Slider("mlp", "17")),
        ("mlp:17:off", Slider("mlp", "17", on=False)),
        ("a:b:3:clamp:-2.5", Slider("a:b", "3", "clamp", "-2.5")),
        ("a:b:3:scale:0:off", Slider("a:b", "3", "scale", "0", on=False)),
        ("mlp:x:add:nan", Slider("mlp", "x", "add", "nan")),
    ],
)
def test_sliders_are_read(text: str, slider: Slider) -> None:
    assert Slider.read(text) == slider
    assert Slider.read(slider.text) == slider


@pytest.mark.parametrize("text", ["", ":", "mlp", "17", ":17", "mlp:", "off", ":off"])
def test_what_names_no_feature(text: str) -> None:
    assert Slider.read(text) is None
    question, problems = SteerState.read([("f", text)]).question()
    assert question is None
    assert "names no feature" in problems["f"]


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("temperature", "-1", "temperature cannot be '-1'"),
        ("temperature", "nan", "finite"),
        ("temperature", "inf", "finite"),
        ("temperature", "warm", "it has to be a number"),
        ("top_p", "0", "more than 0"),
        ("top_k", "-3", "top_k cannot be '-3'"),
        ("n", "0", "tokens cannot be '0'"),
        ("n", "1.5", "a whole number"),
        ("n", "100001", "100000"),
        ("seed", "-1", "seed cannot be"),
        ("seed", str(2**53), "less than 9007199254740992"),
        ("scope", "some", "'all' or 'generated'"),
        ("text", "x" * 200_001, "200,001 characters; at most 200,000"),
        ("f", "mlp:1:add:nan", "strength cannot be 'nan'"),
        ("f", "mlp:1:add:-inf", "finite"),
        ("f", "mlp:1:add:1e9", "at most 1000"),
        ("f", "mlp:x:add:1", "feature cannot be 'x'"),
        ("f", "mlp:-4:add:1", "feature cannot be '-4'"),
    ],
)
def test_what_cannot_be_used_is_said_and_kept(name: str, value: str, sentence: str) -> None:
    state = SteerState.read([(name, value)])
    question, problems = state.question()
    assert question is None
    (place,) = problems
    assert place == ("f0" if name == "f" else name)
    assert sentence in problems[place]
    assert len(problems[place]) < 300
    assert value in (state.text, *state.settings.values(), *(s.text for s in state.sliders))


def test_too_many_features_are_counted() -> None:
    state = SteerState.read([("f", f"mlp:{n}") for n in range(17)])
    assert state.question()[1] == {"f": "At most 16 features are steered at once; these are 17."}
    assert len(state.sliders) == 17


def test_the_form_without_scripts() -> None:
    given = [
        ("form", "1"),
        ("text", "a\r\nb"),
        ("n", "12"),
        ("f", "mlp:1:add:2"),
        ("m", "scale"),
        ("s", "0.5"),
        ("f", "mlp:2:add:2"),
        ("m", "add"),
        ("s", "3"),
        ("on", "1"),
        ("f", "mlp:3:add:2"),
        ("m", "add"),
        ("s", "4"),
        ("on", "2"),
        ("drop", "2"),
    ]
    state = SteerState.submitted(given)
    assert state.address("m") == "/m/m/steer?text=a%0Ab&f=mlp:1:scale:0.5:off&f=mlp:2:add:3&n=12"
    assert state.adding("mlp", 9).sliders[-1] == Slider("mlp", "9")


def test_what_names_no_feature_stays_in_the_address() -> None:
    state = SteerState.submitted([("f", "17"), ("f", "m:2:add:1"), ("m", "add"), ("s", "3")])
    assert state.malformed == ("17",)
    assert state.address("demo") == "/m/demo/steer?f=m:2:add:3:off&f=17"
    assert SteerState.read([("f", "m:2:add:3:off"), ("f", "17")]) == state


@pytest.mark.parametrize("text", ["1", "-0.5", "5e-1", ".5", "1E+3"])
def test_numbers_that_fields_show(text: str) -> None:
    assert is_number(text)


@pytest.mark.parametrize("text", ["", "abc", "+1", "1.", " 1", "1_0", "nan", "١"])
def test_texts_that_number_fields_would_drop(text: str) -> None:
    assert not is_number(text)
