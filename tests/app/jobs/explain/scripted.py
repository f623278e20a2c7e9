"""An OpenAI-compatible endpoint whose answers are written down."""

from __future__ import annotations

import json
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = tuple[int, dict[str, str], bytes]


@dataclass
class Script:
    """What an endpoint answers, and what it was asked.

    Attributes:
        answer: from path and body to status, headers and content; it may be replaced.
        asked: the bodies, in the order in which they came.
        keys: the authorization that came with each.
        seconds: how long each answer takes.
    """

    answer: Callable[[str, dict[str, Any]], Answer]
    asked: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    seconds: float = 0.0
    url: str = ""

    def twice(self) -> int:
        """How many questions came more than once, each time counted."""
        times = Counter(json.dumps(body, sort_keys=True) for body in self.asked)
        return sum(n - 1 for n in times.values())


def said(text: str, **choice: Any) -> Answer:
    """A chat model's answer."""
    body = {
        "choices": [{"message": {"role": "assistant", "content": text}, **choice}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 10},
    }
    return 200, {}, json.dumps(body).encode()


@contextmanager
def served(answer: Callable[[str, dict[str, Any]], Answer]) -> Iterator[Script]:
    """The endpoint on a free port."""
    script = Script(answer)
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with lock:
                script.asked.append(body)
                script.keys.append(self.headers.get("Authorization"))
            time.sleep(script.seconds)
            status, headers, content = script.answer(self.path, body)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

        def handle(self) -> None:
            # A client that was killed leaves in the middle of an answer.
            with suppress(OSError):
                super().handle()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    script.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    try:
        yield script
    finally:
        server.shutdown()
        server.server_close()


def reader(path: str, body: dict[str, Any]) -> Answer:
    """A small, honest model: it names the commonest marked word, and looks for quoted words.

    Embeddings count letters.
    """
    if path.endswith("/embeddings"):
        rows = [
            {"index": i, "embedding": [float(text.count(chr(97 + j))) + 1.0 for j in range(26)]}
            for i, text in enumerate(body["input"])
        ]
        return 200, {}, json.dumps({"data": rows}).encode()
    system, *_, user = (message["content"] for message in body["messages"])
    if "LABEL:" in system:
        marked = Counter(re.findall(r"<<\s*(\w+)", user))
        word = marked.most_common(1)[0][0] if marked else "nothing"
        return said(f"LABEL: the word '{word}'")
    word = match[1] if (match := re.search(r"Label: .*'(\w+)'", user)) else ""
    cases = re.findall(r"^\d+\. (.*)$", user, re.MULTILINE)
    if "zeros" in system or "JSON list" in system:
        marks = "marked" in system or "between <<" in system
        wanted = f"<<{word}" if marks else word
        return said(json.dumps([int(wanted in case.replace("<< ", "<<")) for case in cases]))
    if "digits" in system:
        n = int(re.search(r"but (\d+) digits", system)[1])  # type: ignore[index]
        tokens = re.findall(r"^\d+: (.*)$", user, re.MULTILINE)
        digits = [9 if word and word in token else 0 for token in tokens]
        assert len(digits) == n
        content = [
            {"token": str(d), "top_logprobs": [{"token": str(d), "logprob": -0.01}]} for d in digits
        ]
        return said(" ".join(map(str, digits)), logprobs={"content": content})
    if "Labels:" in user:
        text = user.partition("Text: ")[2]
        labels = re.findall(r"^\d+\. the word '(\w+)'$", user, re.MULTILINE)
        best = max(range(len(labels)), key=lambda i: text.count(labels[i]), default=0)
        return said(str(best + 1))
    return said("1")


def rater(_path: str, body: dict[str, Any]) -> Answer:
    """A small rater: the more alike what is marked in all excerpts, the more points it gives."""
    *_, user = (message["content"] for message in body["messages"])
    marked = [mark.strip().lower() for mark in re.findall(r"<<(.*?)>>", user)]
    word, times = Counter(marked).most_common(1)[0] if marked else ("", 0)
    share = times / max(1, len(marked))
    answer = {
        "interpretation": f"the token {word!r}",
        "confidence": round(3 * share),
        "activations": round(5 * share),
        "logits": int(bool(word) and word in user.lower().rpartition("more likely")[2]),
        "specificity": min(3, round(6 * share)),
    }
    return said(f"```json\n{json.dumps(answer)}\n```")
