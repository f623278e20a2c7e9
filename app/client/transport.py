"""How a program's questions travel: as JSON, and failures as one error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import httpx
from pydantic import BaseModel, ValidationError

from app.web.schema import Problem
from sae_core.errors import FeaturescopeError

Answer = TypeVar("Answer", bound=BaseModel)
Asked = TypeVar("Asked", bound=BaseModel)


class RequestFailed(FeaturescopeError):
    """The server refused a request, or could not finish it; the message is its sentence.

    Attributes:
        status: the HTTP status of the answer, such as 404 or 503; 0: there was none.
        retry_after: seconds after which asking again makes sense; None: it does not.
    """

    def __init__(self, message: str, status: int, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after


class Transport:
    """One server's JSON interface.

    Args:
        base: where it serves.
        http: the client to send with.
    """

    def __init__(self, base: str, http: httpx.Client) -> None:
        self.base = base
        self.http = http

    def address(self, *parts: object, **query: str) -> str:
        """Of what these parts of an address name, below /api/v1; what is asked empty is left out.

        Half a surrogate pair travels as the bytes it would have, and the server says what it says.
        """
        escaped = (quote(str(part), safe="", errors="surrogatepass") for part in parts)
        address = "/".join([f"{self.base}/api/v1", *escaped])
        kept = {name: value for name, value in query.items() if value}
        return f"{address}?{urlencode(kept, errors='surrogatepass')}" if kept else address

    def ask(
        self, method: str, address: str, kind: type[Answer], question: BaseModel | None = None
    ) -> Answer:
        """One question, one answer.

        Raises:
            RequestFailed: the server refuses, or does not answer.
        """
        with failures(address):
            return kind.model_validate_json(self.send(method, address, question).content)

    def send(self, method: str, address: str, question: BaseModel | None = None) -> httpx.Response:
        """One question, whatever is answered.

        Raises:
            RequestFailed: the server refuses, or does not answer.
        """
        body = None if question is None else question.model_dump(mode="json")
        with failures(address):
            answer = self.http.request(method, address, json=body)
            if not answer.is_success:
                raise refused(answer)
            return answer


def question_of(kind: type[Asked], /, **values: Any) -> Asked:
    """A question.

    Raises:
        RequestFailed: a value makes it none.
    """
    try:
        return kind(**values)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        raise RequestFailed(f"{name} cannot be used: {first['msg']}.", 422) from error


@contextmanager
def failures(address: str) -> Iterator[None]:
    """Turn what can go wrong on the way into our own error."""
    try:
        yield
    except httpx.HTTPError as error:
        raise RequestFailed(f"{address} does not answer: {error}", 0) from error
    except ValidationError as error:
        raise RequestFailed(
            f"{address} gave an answer that makes no sense here: {error}", 0
        ) from error


def refused(answer: httpx.Response) -> RequestFailed:
    """What an answer that is no success says."""
    try:
        sentence = Problem.model_validate_json(answer.content).detail
    except ValidationError:
        sentence = f"{answer.url} answered {answer.status_code}."
    after = answer.headers.get("retry-after", "")
    return RequestFailed(sentence, answer.status_code, float(after) if after.isdigit() else None)
