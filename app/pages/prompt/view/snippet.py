"""The prompt page as a Python program that prints what the page shows."""

from __future__ import annotations

from app.pages.prompt.query import FeatureName, PromptQuery, Sort
from app.pages.prompt.view.page import PromptPage
from app.pages.prompt.view.panels import WhyPanel
from app.pages.prompt.view.rows import MOST_ROWS

_HEAD = """\
from app.client import FeaturescopeClient

client = FeaturescopeClient({base})
model, prompt = {model}, {prompt}
dictionaries = {dictionaries}

read = client.activations(model, prompt, dictionaries)
for name, feature in read.active({options})[:{rows}]:
    print(name, feature.index, feature.activation, feature.share, feature.rarity)
"""
_COMPARE = """
other = client.activations(model, {other}, dictionaries)
for one in read.compare(other):
    print(one.kind, one.dictionary, one.index, one.change)
"""
_ABLATE = """
ablated = client.ablate(model, prompt, {dictionary}, {index})
for position, change in zip(ablated.effect.positions, ablated.effect.loss_change):
    print(position, ablated.tokens[position].text, change)
"""
_OCCLUDE = """
why = client.occlude(model, prompt, {dictionary}, {index}{options})
for token in why.tokens:
    print(token.position, token.text, token.change)
"""
_ATTRIBUTE = """
for name in dictionaries:
    for event in client.attribute(model, prompt, name{options}):
        print(name, event.event, event.features, event.loss_change)
"""
_TOGETHER = """
joint = client.together(model, prompt, {dictionary}, {features}{options})
print(joint.loss_change, sum(joint.singles))
"""


def snippet(page: PromptPage, base: str) -> str:
    """The program, against the server at `base`; empty where no prompt was read."""
    query = page.query
    if query.text is None or page.reading is None:
        return ""
    parts = [
        _HEAD.format(
            base=ascii(base.rstrip("/")),
            model=ascii(page.model),
            prompt=ascii(query.text),
            dictionaries=ascii(page.chosen),
            options=_shown(query, page.sort),
            rows="" if query.everything else MOST_ROWS,
        )
    ]
    if query.other:
        parts.append(_COMPARE.format(other=ascii(query.other)))
    if page.feature:
        names = _named(page.feature.described.name)
        parts.append(_ABLATE.format(**names))
        if page.why:
            parts.append(_OCCLUDE.format(**names, options=_put(page.why)))
    if page.prediction:
        where = _target(query)
        parts.append(_ATTRIBUTE.format(options=where))
        for dictionary in dict.fromkeys(feature.dictionary for feature in query.together):
            features = [
                feature.index for feature in query.together if feature.dictionary == dictionary
            ]
            parts.append(
                _TOGETHER.format(dictionary=ascii(dictionary), features=features, options=where)
            )
    return "".join(parts)


def _named(feature: FeatureName) -> dict[str, str]:
    return {"dictionary": ascii(feature.dictionary), "index": str(feature.index)}


def _shown(query: PromptQuery, sort: Sort) -> str:
    """How the table is ordered, and of which token it is."""
    key = "activation" if sort == "effect" else sort
    options = [] if key == "activation" else [f"sort={key!a}"]
    return ", ".join([*options, *([] if query.token is None else [f"position={query.token}"])])


def _target(query: PromptQuery) -> str:
    position = "" if query.target is None else f", position={query.target}"
    return position + (f", target={query.instead!a}" if query.instead else "")


def _put(why: WhyPanel) -> str:
    """Where the activation is read, and what stands in each token's place."""
    return f", position={why.position}" + ("" if why.put is None else f", replacement={why.put}")
