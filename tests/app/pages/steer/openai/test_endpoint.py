"""The interface at /v1, asked by OpenAI's own client."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import openai
import pytest
import torch

from sae_core.language_model.model import LanguageModel
from tests.app.pages.steer.openai.conftest import Endpoint

TALK: list[Any] = [{"role": "user", "content": "The quick brown fox"}]
ASKED: dict[str, Any] = {
    "model": "demo",
    "messages": TALK,
    "max_tokens": 8,
    "temperature": 0.7,
    "seed": 5,
}
PUSH = {"dictionary": "neurons", "feature": 2, "strength": 40.0}


def steered(*edits: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"featurescope": {"edits": list(edits), **more}}


def log_probabilities(model: LanguageModel, ids: list[int]) -> torch.Tensor:
    """Of every token after each, float32 [n, d_vocab]."""
    return model.logits(torch.tensor([ids]))[0].float().log_softmax(-1)


def test_the_models(endpoint: Endpoint) -> None:
    assert [model.id for model in endpoint.client.models.list()] == ["demo"]
    assert endpoint.client.models.retrieve("demo").owned_by == "featurescope"
    with pytest.raises(openai.NotFoundError, match="no harvested model"):
        endpoint.client.models.retrieve("other")


def test_a_chat_has_the_log_probabilities_of_our_own_computation(endpoint: Endpoint) -> None:
    answer = endpoint.client.chat.completions.create(**ASKED, logprobs=True, top_logprobs=3)
    choice = answer.choices[0]
    assert choice.logprobs is not None
    assert choice.logprobs.content
    assert answer.usage is not None
    model = endpoint.model
    prompt = [0, *model.tokenizer.encode("User: The quick brown fox\nAssistant:").ids]
    assert answer.usage.prompt_tokens == len(prompt)
    strings = [piece.decode("utf-8", "replace") for piece in model.vocabulary.pieces]
    ids = list(prompt)
    for token in choice.logprobs.content:
        log_p = log_probabilities(model, ids)[-1]
        best = log_p.topk(3)
        near = [n for n, string in enumerate(strings) if string == token.token]
        chosen = min(near, key=lambda n: abs(float(log_p[n]) - token.logprob))
        assert token.logprob == pytest.approx(float(log_p[chosen]), abs=1e-4)
        assert [top.logprob for top in token.top_logprobs] == pytest.approx(
            best.values.tolist(), abs=1e-4
        )
        ids.append(chosen)
    assert choice.finish_reason in ("length", "stop")
    assert answer.featurescope["bos_added"]  # type: ignore[attr-defined]


def test_a_stream_says_the_same_as_the_whole(endpoint: Endpoint) -> None:
    whole = endpoint.client.chat.completions.create(**ASKED, logprobs=True)
    chunks = list(
        endpoint.client.chat.completions.create(
            **ASKED, logprobs=True, stream=True, stream_options={"include_usage": True}
        )
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    told = [
        token.logprob
        for chunk in chunks
        for choice in chunk.choices
        if choice.logprobs is not None
        for token in choice.logprobs.content or ()
    ]
    assert whole.choices[0].logprobs is not None
    assert told == [token.logprob for token in whole.choices[0].logprobs.content or ()]
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-1].usage == whole.usage
    ends = [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices]
    assert ends[:-1] == [None] * (len(ends) - 1)
    assert ends[-1] == whole.choices[0].finish_reason


def test_steering_changes_the_text_and_neutral_settings_change_nothing(endpoint: Endpoint) -> None:
    def ask(extra: dict[str, Any] | None) -> Any:
        answer = endpoint.client.chat.completions.create(**ASKED, logprobs=True, extra_body=extra)
        return answer.choices[0]

    plain = ask(None)
    neutral = [
        steered(),
        steered({**PUSH, "strength": 0.0}),
        steered({**PUSH, "mode": "scale", "strength": 1.0}),
        steered({**PUSH, "mode": "remove", "strength": 0.0}),
        steered({**PUSH, "on": False}),
    ]
    for extra in neutral:
        still = ask(extra)
        assert still.message == plain.message
        assert still.logprobs == plain.logprobs
    for tokens in ("everything", "contents", "answer"):
        assert ask(steered(PUSH, tokens=tokens)).logprobs != plain.logprobs


def test_what_is_watched_is_told_of_every_token(endpoint: Endpoint) -> None:
    trait = {"name": "some", "features": [{"dictionary": "neurons", "feature": 3, "weight": 2.0}]}
    extra = {"featurescope": {"watch": ["neurons"], "traits": [trait]}}
    for options in ({}, {"stream": True}):
        asked = endpoint.client.chat.completions.create(**ASKED, **options, extra_body=extra)
        last = list(asked)[-1] if options else asked
        own = last.featurescope
        (levels,), (watch,) = own["traits"], own["watch"]
        assert len(levels["prompt"]) == len(watch["prompt"])
        assert 1 <= len(levels["answer"]) == len(watch["answer"]) <= 8
        assert watch["prompt"][0] == []  # BOS
        for level, features in zip(levels["answer"], watch["answer"], strict=True):
            read = {each["feature"]: each["activation"] for each in features}
            if 3 in read:
                assert level == pytest.approx(2 * read[3], rel=1e-6)


def test_a_text_is_continued(endpoint: Endpoint) -> None:
    asked: dict[str, Any] = {"model": "demo", "max_tokens": 6, "temperature": 0, "seed": 1}
    answer = endpoint.client.completions.create(prompt="The quick", **asked, logprobs=2)
    ids = [0, *endpoint.model.tokenizer.encode("The quick").ids]
    logprobs = answer.choices[0].logprobs
    assert logprobs is not None
    first = log_probabilities(endpoint.model, ids)[-1]
    assert (logprobs.token_logprobs or [])[0] == pytest.approx(float(first.max()), abs=1e-4)
    given = endpoint.client.completions.create(prompt=[0, 40, 41], **asked, logprobs=1)
    assert given.choices[0].logprobs is not None
    first = log_probabilities(endpoint.model, [0, 40, 41])[-1]
    told = (given.choices[0].logprobs.token_logprobs or [])[0]
    assert told == pytest.approx(float(first.max()), abs=1e-4)
    chunks = list(endpoint.client.completions.create(prompt="The quick", stream=True, **asked))
    assert "".join(chunk.choices[0].text for chunk in chunks) == answer.choices[0].text


def test_a_stop_text_ends_an_answer_and_is_left_out(endpoint: Endpoint) -> None:
    whole = endpoint.client.chat.completions.create(**ASKED).choices[0].message.content or ""
    stop = whole[2:4]
    assert stop
    cut = endpoint.client.chat.completions.create(**ASKED, stop=[stop]).choices[0]
    assert cut.message.content == whole[: whole.index(stop)]
    assert cut.finish_reason == "stop"


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"n": 2}, "n is not supported"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools is not supported"),
        ({"response_format": {"type": "json_schema"}}, "response_format is not supported"),
        ({"logit_bias": {"5": 3}}, "logit_bias is not supported"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
            "text only; image_url",
        ),
        ({"messages": [{"role": "tool", "content": "x"}]}, "'tool' are not supported"),
        ({"messages": [{"role": "no role", "content": "x"}]}, "is no role"),
        ({"messages": [{"role": "narrator", "content": "x"}]}, "knows the roles"),
        ({"messages": [{"role": "user", "content": "dog " * 200}]}, "takes 128 with the answer"),
        ({"messages": []}, "messages"),
        ({"extra_body": {"unheard_of": 1}}, "unheard_of"),
        ({"top_logprobs": 3}, "needs logprobs"),
        ({"extra_body": steered({**PUSH, "feature": 10**6})}, "there is no feature"),
        ({"extra_body": steered({**PUSH, "mode": "twist"})}, "mode"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_what_cannot_be_answered_is_a_clear_400(
    endpoint: Endpoint, asked: dict[str, Any], words: str, stream: bool
) -> None:
    with pytest.raises(openai.BadRequestError, match=words) as refused:
        endpoint.client.chat.completions.create(**{**ASKED, "stream": stream, **asked})
    error: Any = refused.value.body
    assert error["type"] == "invalid_request_error"
    assert {"message", "param", "code"} <= error.keys()


HALF = "\ud800"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("path", "asked", "param"),
    [
        (
            "chat/completions",
            {"messages": [{"role": "user", "content": HALF}]},
            "messages.0.content",
        ),
        ("chat/completions", {"messages": [{"role": HALF, "content": "x"}]}, "messages.0.role"),
        (
            "chat/completions",
            {"messages": [{"role": "user", "content": [{"type": "text", "text": HALF}]}]},
            "messages.0.content",
        ),
        ("chat/completions", {"messages": TALK, "stop": HALF}, "stop.0"),
        ("completions", {"prompt": HALF}, "prompt"),
        ("completions", {"prompt": [HALF]}, "prompt"),
        ("completions", {"prompt": "x", "stop": ["y", HALF]}, "stop.1"),
        ("completions", {"prompt": "x", "model": HALF}, "model"),
    ],
)
def test_half_a_character_is_refused_wherever_it_stands(
    endpoint: Endpoint, path: str, asked: dict[str, Any], param: str, stream: bool
) -> None:
    """JSON can carry half of a pair of surrogates, which no UTF-8 can write."""
    body = json.dumps({"model": "demo", "max_tokens": 1, "stream": stream, **asked})
    answer = httpx.post(
        f"{endpoint.url}/{path}", content=body, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["param"] == param
    assert "half a character" in error["message"] or "unicode" in error["message"]


def test_what_is_not_supported_is_named(endpoint: Endpoint) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        endpoint.client.chat.completions.create(**ASKED, n=2)
    assert refused.value.param == "n"
    with pytest.raises(openai.BadRequestError) as refused:
        endpoint.client.chat.completions.create(**ASKED, extra_body={"stop": [1]})
    assert refused.value.param == "stop.0"


def test_fifty_clients_at_once_are_all_answered(endpoint: Endpoint) -> None:
    async def ask(number: int) -> str:
        async with openai.AsyncOpenAI(
            base_url=endpoint.url, api_key="none", max_retries=0, timeout=60
        ) as client:
            extra = steered(PUSH) if number % 2 else None
            asked = await client.chat.completions.create(
                **{**ASKED, "max_tokens": 3}, extra_body=extra
            )
            return asked.choices[0].message.content or ""

    async def all_at_once() -> list[str]:
        return await asyncio.gather(*(ask(number) for number in range(50)))

    texts = asyncio.run(all_at_once())
    assert len(texts) == 50
    assert len(set(texts[::2])) == len(set(texts[1::2])) == 1
