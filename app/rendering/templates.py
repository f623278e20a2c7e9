"""Pages from templates: one environment, one way to address, one way to write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse

from app.rendering import numbers as rendering_numbers
from app.rendering.addresses import (
    circuit_address,
    comparison_address,
    contrast_address,
    dictionary_address,
    experiment_address,
    graph_address,
    list_address,
    model_page_address,
    monitor_address,
    run_address,
    runs_address,
    study_address,
    sweep_address,
)
from app.rendering.assets import Assets
from app.rendering.charts import histograms as rendering_charts
from app.rendering.contexts import best_context
from app.rendering.markup import trusted
from app.rendering.tokens import printable, typeable
from app.rendering.underlines import Underlines
from app.rendering.words.citation import EMBED_PARTS, citation
from app.rendering.words.glossary import term
from app.rendering.words.summary import summary_of_row
from app.store.types.catalogue import DictionaryView

_EXACT_FVU = 1e-6


def noun(dictionary: DictionaryView, plural: bool = False) -> str:
    """What the dictionary holds: features, or neurons."""
    word = "neuron" if dictionary.is_neurons else "feature"
    return f"{word}s" if plural else word


def caveat(dictionary: DictionaryView) -> str:
    """What a reader of neurons must know where some are negative; empty elsewhere.

    The reconstruction of a neuron is its positive part, so that there is an error only where a
    neuron is negative.
    """
    fvu = (dictionary.evaluation or {}).get("fvu") or 0.0
    if not (dictionary.is_neurons and fvu > _EXACT_FVU):
        return ""
    return (
        "Neurons that can be negative are shown by their positive side; "
        "what is negative stays in the error."
    )


def notes(dictionary: DictionaryView) -> list[str]:
    """What its files say that readers of its figures must know, such as positions left out."""
    kept = dictionary.details.get("notes")
    return [note for note in kept if isinstance(note, str)] if isinstance(kept, list) else []


class Renderer:
    """The templates and what all of them may use."""

    def __init__(self, templates: Path, assets: Assets) -> None:
        self.environment = Environment(
            loader=FileSystemLoader(templates, encoding="utf-8"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        numbers = rendering_numbers
        self.environment.filters |= {
            "activation": numbers.activation,
            "compact": numbers.compact,
            "count": numbers.count,
            "duration": numbers.duration,
            "moment": numbers.moment,
            "number": numbers.number,
            "percent": numbers.percent,
            "printable": printable,
            "typeable": typeable,
            "quotient": numbers.quotient,
            "share": numbers.share,
            "signed": numbers.signed,
            "size": numbers.size,
            "sparkline": lambda histogram: trusted(rendering_charts.sparkline(histogram)),
        }
        self.environment.globals |= {
            "comparison_address": comparison_address,
            "contrast_address": contrast_address,
            "monitor_address": monitor_address,
            "experiment_address": experiment_address,
            "dictionary_address": dictionary_address,
            "circuit_address": circuit_address,
            "graph_address": graph_address,
            "asset": assets.address,
            "list_address": list_address,
            "caveat": caveat,
            "citation": citation,
            "embed_parts": EMBED_PARTS,
            "notes": notes,
            "noun": noun,
            "best_context": best_context,
            "summary_of_row": summary_of_row,
            "term": term,
            "underlines": Underlines.of,
            "model_page_address": model_page_address,
            "run_address": run_address,
            "runs_address": runs_address,
            "study_address": study_address,
            "sweep_address": sweep_address,
        }

    def text(self, template: str, **context: Any) -> str:
        """A template as a string."""
        return self.environment.get_template(template).render(context)

    def html(
        self,
        template: str,
        status_code: int = 200,
        headers: dict[str, str] | None = None,
        **context: Any,
    ) -> HTMLResponse:
        """A template as an answer."""
        return HTMLResponse(self.text(template, **context), status_code, headers)
