"""The steering page as a Python program that prints what the page shows."""

from __future__ import annotations

from app.pages.steer.questions import SteerQuestion
from app.pages.steer.state import DEFAULTS, FIELDS, written

_PROGRAM = """\
from app.client import Edit, FeaturescopeClient

client = FeaturescopeClient({base})
edits = [{edits}]
texts = {{"unsteered": "", "steered": ""}}
for event in client.steer({model}, {prompt}, edits{options}):
    if event.event == "token":
        texts[event.pane] += event.text
    elif event.event == "side_effects":
        for change in event.features:
            print(change.feature.index, change.unsteered, change.steered)
for pane, text in texts.items():
    print(f"{{pane}}: {{text!r}}")
"""


def snippet(model: str, question: SteerQuestion, base: str) -> str:
    """The program, against the server at `base`. Nothing in it but ASCII."""
    edits = "".join(
        f"    Edit(dictionary={edit.dictionary!a}, feature={edit.feature}, mode={edit.mode.value!a}"
        f", strength={edit.strength!r}{'' if edit.on else ', on=False'}),\n"
        for edit in question.edits
    )
    changed = {key: getattr(question, key) for key in FIELDS.values()}
    options = "".join(
        f", {key}={str(value)!a}" if isinstance(value, str) else f", {key}={value!r}"
        for (name, key), value in zip(FIELDS.items(), changed.values(), strict=True)
        if written(value) != DEFAULTS[name]
    )
    return _PROGRAM.format(
        base=ascii(base.rstrip("/")),
        edits=f"\n{edits}" if edits else "",
        model=ascii(model),
        prompt=ascii(question.prompt),
        options=options,
    )
