"""A list as a file: CSV, and an HTML page that needs no server."""

from __future__ import annotations

import csv
import io

from app.pages.lists.page import ListPage
from app.rendering.markup import cell, trusted
from app.rendering.templates import Renderer
from app.settings import resource

COLUMNS = ("model", "dictionary", "index", "label", "note", "fires on", "subject", "in the store")


def as_csv(page: ListPage) -> str:
    """A line for each feature. Text that spreadsheets would compute begins with an apostrophe."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    for line in page.lines:
        item = line.item
        summary = line.summary.text if line.summary else ""
        texts = [item.model, item.dictionary, str(item.index), item.label, item.note, summary]
        writer.writerow([*map(cell, texts), item.subject, "yes" if item.there else "no"])
    return out.getvalue()


def as_html(page: ListPage, renderer: Renderer) -> str:
    """A page of its own, without scripts, links and pictures."""
    sheet = (resource("static") / "css" / "files" / "list.css").read_text()
    style = trusted(f"<style>\n{sheet}</style>")
    return renderer.text("lists/export.html", page=page, style=style)
