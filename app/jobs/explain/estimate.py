"""What a run would cost at most, without asking anything."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from app.jobs.explain.costs import Estimate, estimated_tokens
from app.jobs.explain.endpoint import ChatReply, EndpointFailure, Prompt
from app.jobs.explain.explainers import LONGEST_LABEL
from app.jobs.explain.material import Material
from app.jobs.explain.plan import ExplainPlan
from app.jobs.explain.run import explain


class _Counting:
    """Stands in for an endpoint: counts, and answers with nothing but labels of full length."""

    def __init__(self) -> None:
        self.questions = self.read = self.written = 0
        self._labels = 0
        self._lock = threading.Lock()

    def chat(self, prompt: Prompt) -> ChatReply:
        """A label to explainers; judges get no answer that they can read."""
        with self._lock:
            self.questions += 1
            self.read += prompt.estimated_tokens
            self.written += prompt.most_tokens
            self._labels += 1
            number = str(self._labels)
        return ChatReply(f"LABEL: {number.rjust(LONGEST_LABEL // 2, 'x')}")

    def embeddings(self, _model: str, texts: Sequence[str]) -> list[list[float]]:
        """Nothing."""
        with self._lock:
            self.questions += 1
            self.read += sum(map(estimated_tokens, texts))
        raise EndpointFailure("Nothing is asked for an estimate.")


def estimate(plan: ExplainPlan, real: Sequence[Material], nulls: Sequence[Material]) -> Estimate:
    """Go through the whole pipeline, counting."""
    counting = _Counting()
    for _ in explain(counting, plan, real, nulls, 1, lambda *_: None):
        pass
    return Estimate(counting.questions, counting.read, counting.written)
