"""What agents can ask: the client's questions, with answers in the shape that a reader needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field

from app.client.agents.answers import AgentAnswer, agent_answer
from app.client.client import FeaturescopeClient
from app.client.transport import RequestFailed
from app.pages.steer.questions import Edit
from app.rendering.addresses import (
    contrast_address,
    dictionary_address,
    graph_address,
    list_address,
    model_page_address,
    search_address,
)
from app.worker.protocol.requests import SteerMode

_BEFORE, _AFTER = 24, 16  # tokens of a context around its peak
_GROUPS = ("top", "band-8", "band-5", "band-2", "weakest")
_FEATURE = (
    *("model", "dictionary", "index", "label", "summary", "corpus", "n_tokens", "firings"),
    *("density", "density_low", "density_high", "maximum", "effect", "effect_contexts"),
    *("raised", "lowered", "fires_on", "fires_after", "nearest", "coactive"),
    *("dictionary_checksum", "model_checksum", "corpus_fingerprint"),
)
_ACTIVE = ("index", "label", "summary", "activation", "share", "rarity", "density", "positions")


class AgentEdit(BaseModel):
    """A feature that is pushed."""

    model_config = ConfigDict(extra="forbid")

    dictionary: str = Field(description="Name of its dictionary, without the model.")
    feature: int = Field(ge=0)
    strength: float = Field(description="In multiples of its largest activation in the harvest.")
    mode: Literal["add", "clamp", "scale"] = "add"


class AgentTools:
    """Questions that change nothing in the store.

    Every method raises RequestFailed where the server refuses or cannot be reached.

    Args:
        client: of a running server.
        base: where it serves, for addresses of pages.
    """

    def __init__(self, client: FeaturescopeClient, base: str) -> None:
        self.client = client
        self.base = base.rstrip("/")

    def dictionaries(self) -> AgentAnswer:
        """All models and dictionaries with their figures."""
        return self.answer("/", self.client.read("/"))

    def search(self, text: str, dictionary: str = "") -> AgentAnswer:
        """Features that fit words, a token or a number."""
        found = self.client.search.find(text, dictionary).model_dump(mode="json")
        return self.answer(search_address(text, dictionary), _without(found, "html"))

    def by_example(self, dictionary: str, fire: Sequence[str], quiet: Sequence[str]) -> AgentAnswer:
        """Features that fire on some texts and not on others."""
        found = self.client.search.by_example(dictionary, fire, quiet)
        return self.answer("/search", found.model_dump(mode="json"))

    def feature(self, model: str, dictionary: str, feature: int, contexts: int) -> AgentAnswer:
        """A feature's figures, and contexts of several strengths as texts."""
        page = dictionary_address(model, dictionary, feature)
        figures = self.client.read(page)
        there = {group["key"]: group for group in figures["groups"]}
        groups = []
        for key in _GROUPS:
            if key in there and there[key]["contexts"]:
                group = self.client.read(f"{page}/groups/{key}")
                shown = [_context(one) for one in group["examples"][:contexts]]
                share = there[key]["firings"] / max(1, figures["firings"])
                groups.append(
                    {
                        "group": key,
                        "low": group["low"],
                        "high": group["high"],
                        "share_of_firings": share,
                        "contexts": shown,
                    }
                )
        chosen = {name: figures[name] for name in _FEATURE}
        return self.answer(page, {**chosen, "groups": groups})

    def labels(self, model: str, dictionary: str, feature: int) -> AgentAnswer:
        """What is said of a feature."""
        said = self.client.labels.of(model, dictionary, feature).model_dump(mode="json")
        return self.answer(dictionary_address(model, dictionary, feature, "labels"), said)

    def random_feature(self, model: str, dictionary: str) -> AgentAnswer:
        """A feature that fires, drawn evenly: the control for claims about a chosen one."""
        return self.answer(
            dictionary_address(model, dictionary, "random"),
            self.client.read(dictionary_address(model, dictionary, "random")),
        )

    def active(
        self, model: str, prompt: str, dictionaries: Sequence[str] | None, limit: int
    ) -> AgentAnswer:
        """What fires on a prompt, the rarest and strongest first."""
        read = self.client.activations(model, prompt, dictionaries)
        rows = [
            {"dictionary": name, **{key: getattr(row, key) for key in _ACTIVE}}
            for name, row in read.active("rarity")[:limit]
        ]
        tokens = [token.model_dump(mode="json") for token in read.tokens]
        expected = [token.model_dump(mode="json") for token in read.next]
        data = {"tokens": tokens, "next": expected, "features": rows}
        return self.answer(model_page_address(model, "prompt", text=prompt), data)

    def ablate(self, model: str, prompt: str, dictionary: str, feature: int) -> AgentAnswer:
        """What removing a feature does to the prediction of each token."""
        made = self.client.ablate(model, prompt, dictionary, feature).model_dump(mode="json")
        return self.answer(model_page_address(model, "prompt", text=prompt), made)

    def steer(
        self,
        model: str,
        prompt: str,
        edits: Sequence[AgentEdit],
        n_tokens: int,
        temperature: float,
        seed: int,
    ) -> AgentAnswer:
        """Two continuations of a prompt, unsteered and steered, drawn alike."""
        pushed = [
            Edit(
                dictionary=edit.dictionary,
                feature=edit.feature,
                strength=edit.strength,
                mode=SteerMode(edit.mode),
            )
            for edit in edits
        ]
        texts: dict[str, str] = {}
        perplexities: dict[str, Any] = {}
        for event in self.client.steer(
            model, prompt, pushed, n_tokens=n_tokens, temperature=temperature, seed=seed
        ):
            if event.event == "token":
                texts[str(event.pane)] = texts.get(str(event.pane), "") + event.text
            elif event.event == "traits":
                perplexities[str(event.pane)] = event.perplexity
        data = {
            "texts": texts,
            "perplexity_under_the_unsteered_model": perplexities,
            "edits": [edit.model_dump() for edit in edits],
            "seed": seed,
        }
        return self.answer(model_page_address(model, "steer"), data)

    def lists(self, name: str) -> AgentAnswer:
        """All lists, or the features of one."""
        if not name:
            return self.answer("/lists", self.client.lists.all().model_dump(mode="json"))
        kept = self.client.lists.contents(name).model_dump(mode="json")
        return self.answer(list_address(name), kept)

    def contrasts(self, name: str) -> AgentAnswer:
        """All contrasts of two sets of texts, or one without its texts."""
        if not name:
            every = [line.model_dump(mode="json") for line in self.client.audit.contrasts()]
            return self.answer("/contrast", every)
        made = self.client.audit.contrast(name).model_dump(mode="json")
        return self.answer(contrast_address(name), made)

    def graphs(self, model: str, name: str) -> AgentAnswer:
        """The attribution graphs of a model, or one."""
        if not name:
            every = [line.model_dump(mode="json") for line in self.client.graphs.all(model)]
            return self.answer(graph_address(model), every)
        return self.answer(graph_address(model, name), self.client.read(graph_address(model, name)))

    def evidence(self, kind: str, name: str) -> AgentAnswer:
        """Monitors or experiments of the store: all, or one."""
        address = f"/{kind}/{quote(name, safe='')}" if name else f"/{kind}"
        return self.answer(address, self.client.read(address))

    def page(self, address: str) -> AgentAnswer:
        """Any page of the server, as its JSON twin says it.

        Raises:
            RequestFailed: the address is none of a page on this server.
        """
        if not address.startswith("/") or address.startswith("//") or "/../" in f"{address}/":
            raise RequestFailed(
                f"{address!r:.200} is no address of a page: it begins with one slash, as "
                "/d/demo/mlp-4096 does.",
                400,
            )
        return self.answer(address, self.client.read(address))

    def answer(self, page: str, data: Any) -> AgentAnswer:
        """Data with its page's address on this server."""
        return agent_answer(f"{self.base}{page}", data)


class AgentWriting:
    """Questions that write labels and lists, for agents that may.

    Args:
        tools: whose client and addresses are used.
    """

    def __init__(self, tools: AgentTools) -> None:
        self._tools = tools
        self._client = tools.client

    def label(
        self, model: str, dictionary: str, feature: int, text: str, note: str, author: str
    ) -> AgentAnswer:
        """Say what a feature means."""
        said = self._client.labels.add(model, dictionary, feature, text, note, author)
        page = dictionary_address(model, dictionary, feature, "labels")
        return self._tools.answer(page, said.model_dump(mode="json"))

    def new_list(self, title: str, note: str) -> AgentAnswer:
        """Begin an empty list."""
        made = self._client.lists.create(title, note)
        return self._tools.answer(list_address(made.name), made.model_dump(mode="json"))

    def put(self, name: str, model: str, dictionary: str, feature: int, note: str) -> AgentAnswer:
        """Put a feature into a list."""
        kept = self._client.lists.put(name, model, dictionary, feature, note)
        return self._tools.answer(list_address(name), kept.model_dump(mode="json"))


def _context(example: dict[str, Any]) -> dict[str, Any]:
    """A context as text around its peak; tokens on which the feature fires stand in «»."""
    peak, fires = example["peak"], set(example["positions"])
    low = max(0, peak - _BEFORE)
    text = "".join(
        f"«{token}»" if place in fires else token
        for place, token in enumerate(example["text"][: peak + _AFTER + 1])
        if place >= low
    )
    strongest = dict(zip(example["positions"], example["values"], strict=True)).get(peak)
    return {
        "document": example["document"],
        "line": example["line"],
        "activation": strongest,
        "text": text,
    }


def _without(value: Any, name: str) -> Any:
    if isinstance(value, dict):
        return {key: _without(inside, name) for key, inside in value.items() if key != name}
    if isinstance(value, list):
        return [_without(inside, name) for inside in value]
    return value
