"""An OpenAI-compatible endpoint: asked within a budget and a rate, again where it was busy."""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import httpx

from app.errors import FeaturescopeError, InvalidRequest
from app.jobs.explain.answer_book import AnswerBook, answer_key
from app.jobs.explain.costs import Costs, estimated_tokens

LARGEST_REPLY = 4 * 2**20  # bytes
TRIES = 6
LONGEST_WAIT = 60.0  # seconds between two tries
MOST_FAILURES = 10  # in a row: the endpoint is gone, not merely busy
TOP_LOGPROBS = 20
_AGAIN = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
_NEVER = frozenset({401, 403})


class EndpointFailure(FeaturescopeError):
    """One question was not answered; the sentence says why. The others may be.

    What it quotes is from outside: characters that cannot be seen become U+FFFD.
    """

    def __init__(self, message: str) -> None:
        super().__init__("".join(c if c.isprintable() else "\ufffd" for c in message))


class EndpointGone(FeaturescopeError):
    """Nothing more will be answered: the key is refused, or the endpoint has gone."""


@dataclass(frozen=True)
class Prompt:
    """What is asked of a chat model.

    Attributes:
        system: what its task is.
        user: the case.
        most_tokens: that it may answer.
        log_probabilities: whether those of the likeliest tokens are wanted, too.
        temperature: 0: its likeliest answer.
        examples: other cases and their answers, told as what was said before: small models follow
            them where they do not follow the task.
    """

    system: str
    user: str
    most_tokens: int = 200
    log_probabilities: bool = False
    temperature: float = 0.0
    examples: Sequence[tuple[str, str]] = ()

    @property
    def messages(self) -> list[dict[str, str]]:
        """As an endpoint takes them."""
        turns = [("system", self.system)]
        for case, answer in self.examples:
            turns += [("user", case), ("assistant", answer)]
        return [{"role": role, "content": text} for role, text in [*turns, ("user", self.user)]]

    @property
    def estimated_tokens(self) -> int:
        """About how many tokens are read."""
        return estimated_tokens("".join(message["content"] for message in self.messages))


@dataclass(frozen=True)
class ChatReply:
    """What a chat model answered.

    Attributes:
        text: its answer.
        cut: whether it ran into `most_tokens`.
        tokens: for each token of the answer the log-probabilities of the likeliest tokens there, by
            text; empty where the endpoint gives none.
    """

    text: str
    cut: bool = False
    tokens: tuple[Mapping[str, float], ...] = ()


@dataclass(frozen=True)
class EndpointSpec:
    """Which endpoint is asked, and how fast.

    Attributes:
        url: its base, such as `http://localhost:8001/v1`.
        model: name of its model.
        key: what it lets us in by; empty: it asks for none. Never stored or shown.
        key_name: the environment variable that holds it, for sentences.
        per_minute: questions a minute at most; infinite: no limit.
        seconds: that an answer may take.
    """

    url: str
    model: str
    key: str = field(default="", repr=False)
    key_name: str = "OPENAI_API_KEY"
    per_minute: float = math.inf
    seconds: float = 120.0

    def __post_init__(self) -> None:
        try:
            url = httpx.URL(self.url)
        except (httpx.InvalidURL, TypeError):
            url = httpx.URL()
        if url.scheme not in ("http", "https") or not url.host:
            raise InvalidRequest(
                f"{self.url!r} is no address of an endpoint: give its base, such as "
                "http://localhost:8001/v1."
            )
        if url.userinfo:
            raise InvalidRequest(
                "Leave the key out of the endpoint's address, which is stored: put it into the "
                f"environment as {self.key_name}."
            )


class ChatEndpoint(Protocol):
    """Whatever can be asked: an endpoint, or what counts its questions."""

    def chat(self, prompt: Prompt) -> ChatReply:
        """See `Endpoint.chat`."""
        ...

    def embeddings(self, model: str, texts: Sequence[str]) -> list[list[float]]:
        """See `Endpoint.embeddings`."""
        ...


class Endpoint:
    """Asks; answers that were kept come from the book, at no cost. Safe to share between threads.

    Args:
        spec: which endpoint.
        book: where answers are kept.
        costs: what may be spent.
        sleep: waits so many seconds; tests replace it.
    """

    def __init__(
        self,
        spec: EndpointSpec,
        book: AnswerBook,
        costs: Costs,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self.spec, self._book, self._costs, self._sleep = spec, book, costs, sleep
        self._turn = threading.Lock()
        self._next_turn = 0.0
        self._under_way = threading.Condition()
        self._asking: set[str] = set()
        self._failures = 0
        headers = {"Authorization": f"Bearer {spec.key}"} if spec.key else {}
        self._client = httpx.Client(
            headers=headers, timeout=httpx.Timeout(spec.seconds, connect=10.0), trust_env=False
        )

    def close(self) -> None:
        """Close its connections."""
        self._client.close()

    def chat(self, prompt: Prompt) -> ChatReply:
        """The model's answer.

        Raises:
            EndpointFailure: this question was not answered, or not in a form that can be read.
            EndpointGone: no other will be either.
            BudgetSpent: it could cost more than is left.
        """
        body: dict[str, Any] = {
            "model": self.spec.model,
            "messages": prompt.messages,
            "max_tokens": prompt.most_tokens,
            "temperature": prompt.temperature,
        }
        if prompt.log_probabilities:
            body |= {"logprobs": True, "top_logprobs": TOP_LOGPROBS}
        return chat_reply(
            self._ask("chat/completions", body, prompt.estimated_tokens, prompt.most_tokens)
        )

    def embeddings(self, model: str, texts: Sequence[str]) -> list[list[float]]:
        """A vector for each text; raises as `chat` does."""
        body = {"model": model, "input": list(texts)}
        answer = self._ask("embeddings", body, sum(map(estimated_tokens, texts)), 0)
        try:
            rows = sorted(answer["data"], key=lambda row: row["index"])
            vectors = [[float(value) for value in row["embedding"]] for row in rows]
        except (KeyError, TypeError, ValueError):
            raise EndpointFailure("The endpoint's embeddings have another form.") from None
        widths = {len(vector) for vector in vectors}
        finite = all(math.isfinite(value) for vector in vectors for value in vector)
        if len(vectors) != len(texts) or len(widths) > 1 or not finite:
            raise EndpointFailure("The endpoint did not give one vector for each text.")
        return vectors

    def _ask(self, path: str, body: Mapping[str, Any], read: int, written: int) -> Any:
        address = f"{self.spec.url.rstrip('/')}/{path}"
        key = answer_key(address, body)
        with self._alone(key):
            kept = self._book.get(key)
            if kept is not None:
                self._costs.count_kept()
                return kept
            return self._pay(key, address, body, read, written)

    @contextmanager
    def _alone(self, key: str) -> Iterator[None]:
        """Who asks what another thread is asking waits for its answer."""
        with self._under_way:
            self._under_way.wait_for(lambda: key not in self._asking)
            self._asking.add(key)
        try:
            yield
        finally:
            with self._under_way:
                self._asking.discard(key)
                self._under_way.notify_all()

    def _pay(self, key: str, address: str, body: Mapping[str, Any], read: int, written: int) -> Any:
        """Ask, and keep the answer."""
        reserved = self._costs.reserve(read, written)
        used = 0, 0
        try:
            answer = self._post(address, body)
            used = _usage(answer, read)
            self._book.keep(key, answer)
        finally:
            self._costs.settle(reserved, *used)
        return answer

    def _post(self, address: str, body: Mapping[str, Any]) -> Any:
        """Send a question until it is answered, at most `TRIES` times."""
        reason, wait = "", 0.0
        for attempt in range(TRIES):
            if attempt:
                self._sleep(min(LONGEST_WAIT, wait))
            wait = 0.5 * 2**attempt
            self._wait_for_turn()
            try:
                status, headers, content = self._send(address, body)
            except httpx.HTTPError as error:
                reason = _network_reason(error, self.spec.seconds)
                continue
            if status in _NEVER:
                raise EndpointGone(
                    f"The endpoint answered {status}: it does not accept the key in "
                    f"{self.spec.key_name}."
                    if self.spec.key
                    else f"The endpoint answered {status}: it asks for a key, and the environment "
                    f"has none under {self.spec.key_name}."
                )
            if status in _AGAIN:
                reason = f"it answered {status}"
                wait = max(wait, _retry_after(headers))
                continue
            if status != 200:
                return self._failed(f"The endpoint answered {status}: {_excerpt(content)}")
            try:
                answer = json.loads(content)
            except ValueError:
                reason = "its answer is no JSON"
                continue
            self._failures = 0
            return answer
        return self._failed(f"The endpoint did not answer in {TRIES} tries: {reason}.")

    def _failed(self, message: str) -> Any:
        self._failures += 1
        if self._failures >= MOST_FAILURES:
            raise EndpointGone(
                f"{MOST_FAILURES} questions in a row failed. {message} What was answered before is "
                "kept; the same command goes on from there."
            )
        raise EndpointFailure(message)

    def _send(self, address: str, body: Mapping[str, Any]) -> tuple[int, httpx.Headers, bytes]:
        """One question; of a longer reply than any answer is, the beginning."""
        content = bytearray()
        with self._client.stream("POST", address, json=body) as response:
            for chunk in response.iter_bytes():
                content += chunk
                if len(content) > LARGEST_REPLY:
                    break
            return response.status_code, response.headers, bytes(content)

    def _wait_for_turn(self) -> None:
        """Keep to the rate: turns are handed out one by one, evenly spaced."""
        with self._turn:
            now = time.monotonic()
            turn = max(now, self._next_turn)
            self._next_turn = turn + 60.0 / self.spec.per_minute
        if turn > now:
            self._sleep(turn - now)


def chat_reply(answer: Any) -> ChatReply:
    """An endpoint's answer, understood.

    Raises:
        EndpointFailure: it has another form than OpenAI's.
    """
    try:
        choice = answer["choices"][0]
        text = choice["message"]["content"]
        if not isinstance(text, str):
            refusal = choice["message"].get("refusal")
            said = f": {_excerpt(str(refusal).encode())}" if refusal else ""
            raise EndpointFailure(f"The model answered without text{said}.")
        content = (choice.get("logprobs") or {}).get("content") or ()
        tokens = tuple(
            {str(top["token"]): float(top["logprob"]) for top in token["top_logprobs"]}
            for token in content
        )
    except (KeyError, IndexError, TypeError, ValueError, AttributeError):
        raise EndpointFailure(
            f"The endpoint's answer has another form: {_excerpt(json.dumps(answer).encode())}"
        ) from None
    return ChatReply(text, choice.get("finish_reason") == "length", tokens)


def _usage(answer: Any, read: int) -> tuple[int, int]:
    """Tokens that were sent and came back, as the endpoint counts them, else estimated."""
    try:
        usage = answer["usage"]
        return int(usage["prompt_tokens"]), int(usage.get("completion_tokens") or 0)
    except (KeyError, TypeError, ValueError):
        return read, estimated_tokens(json.dumps(answer))


def _retry_after(headers: httpx.Headers) -> float:
    """Seconds that the endpoint asks us to wait; 0 where it does not say."""
    try:
        seconds = float(headers.get("retry-after", "0"))
    except ValueError:  # a date, which endpoints do not send
        return 0.0
    return seconds if math.isfinite(seconds) and seconds > 0 else 0.0


def _network_reason(error: httpx.HTTPError, seconds: float) -> str:
    if isinstance(error, httpx.TimeoutException):
        return f"it took more than {seconds:g} s"
    if isinstance(error, httpx.ConnectError):
        return "nobody listens there"
    return "the connection broke"


def _excerpt(content: bytes) -> str:
    """The beginning of what was answered, on one line."""
    text = " ".join(content[:600].decode("utf-8", "replace").split())
    return text[:200] + ("…" if len(text) > 200 else "")
