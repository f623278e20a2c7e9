"""`featurescope list`: models, dictionaries, texts and harvests, with the room they take."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from app.cli.options import Commands

if TYPE_CHECKING:
    from app.jobs.harvest.folders import UnfinishedHarvest
    from app.store.types.runs import ProgressView
    from app.store.upkeep.holdings import DictionaryHolding, Holdings, WrittenHolding


def register(commands: Commands[argparse.ArgumentParser]) -> None:
    """The parser of the command."""
    parser = commands.add_parser(
        "list", help="say what the store holds, and how much room it takes"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    parser.set_defaults(command=run, interrupted="Interrupted.")


def run(arguments: argparse.Namespace) -> None:
    """Print what the store holds and which harvests have not ended."""
    import json

    from app.jobs.harvest.folders import unfinished_harvests
    from app.settings import read_settings
    from app.store.store import open_store
    from app.store.upkeep.holdings import holdings

    settings = read_settings()
    with open_store(settings, upgrade=False) as store:
        held = holdings(store.engine)
    folders = unfinished_harvests(settings.home)
    if arguments.json:
        print(json.dumps(_as_json(held, folders), indent=2))
    else:
        print("\n".join(_as_text(held, folders)))


def _as_text(held: Holdings, folders: list[UnfinishedHarvest]) -> list[str]:
    from app.rendering.numbers import count, size

    if not (held.models or held.comparisons or held.progress or folders):
        return ["The store is empty: `featurescope demo` or `featurescope harvest` fills it."]
    lines = []
    for model in held.models:
        of_model = [holding for holding in held.dictionaries if holding.view.model == model]
        lines.append(_printable(model) if not of_model else _model_line(of_model[0]))
        lines += [f"  {_dictionary_line(holding)}" for holding in of_model] or ["  no dictionary"]
    if held.corpora:
        lines.append("texts")
    for text in held.corpora:
        lines.append(
            f"  {_printable(text.name)} ({text.fingerprint[:12]}): {count(text.n_documents)} "
            f"documents, {count(text.n_tokens)} tokens; {count(text.windows)} windows kept for "
            f"{_printable(', '.join(text.harvests)) or 'no harvest'}, {size(text.n_bytes)}"
        )
    if held.comparisons:
        lines.append("comparisons")
    lines += [
        f"  {_printable(one.name)}: {_printable(', '.join(one.dictionaries))}, "
        f"{size(one.n_bytes)}; `featurescope compare --remove '{_printable(one.name)}'` lets it go"
        for one in held.comparisons
    ]
    lines += _written(held.written)
    unfinished = _unfinished(held.progress, folders)
    if unfinished:
        lines += ["unfinished harvests", *(f"  {line}" for line in unfinished)]
    return lines


def _written(written: WrittenHolding) -> list[str]:
    """A line on what people wrote, if they did."""
    from app.rendering.numbers import count

    if not any(vars(written).values()):
        return []
    waiting = f", {count(written.waiting)} of weights that are not here" if written.waiting else ""
    rated = f", {count(written.ratings)} ratings in {count(written.studies)} studies"
    graphs = f", {count(written.graphs)} graphs" if written.graphs else ""
    graphs += f", {count(written.circuits)} circuits" if written.circuits else ""
    graphs += f", {count(written.contrasts)} contrasts" if written.contrasts else ""
    graphs += f", {count(written.experiments)} experiments" if written.experiments else ""
    graphs += f", {count(written.monitors)} monitors" if written.monitors else ""
    return [
        f"written by people: {count(written.labels)} labels{waiting}, "
        f"{count(written.comments)} comments, {count(written.lists)} lists"
        f"{rated if written.studies or written.ratings else ''}{graphs}"
    ]


def _model_line(holding: DictionaryHolding) -> str:
    view = holding.view
    if view.is_imported:
        return f"{_printable(view.model)}: imported without its weights"
    return (
        f"{_printable(view.model)}: {_printable(view.model_architecture)}, at "
        f"{_printable(view.model_path)}"
    )


def _dictionary_line(holding: DictionaryHolding) -> str:
    from app.rendering.numbers import count, size

    view = holding.view
    kind = "imported" if view.is_imported else _printable(view.architecture)
    unit = "neurons" if view.is_neurons else "features"
    where = _printable(view.places)
    head = f"{_printable(view.name)}: {kind}, {count(view.d_sae)} {unit} at {where}"
    if view.harvest is None:
        return f"{head}; not harvested yet"
    kept = f", {size(holding.kept_bytes)} of it for phrases" if holding.kept_bytes else ""
    return (
        f"{head}; {count(view.alive)} alive in {count(view.n_tokens)} tokens of "
        f"{_printable(view.harvest.corpus)}; {count(holding.labelled)} labels, "
        f"{count(holding.effects)} ablations; {size(holding.n_bytes)}{kept}"
    )


def _unfinished(progress: tuple[ProgressView, ...], folders: list[UnfinishedHarvest]) -> list[str]:
    """One line for each harvest that has begun and not ended."""
    from app.rendering.numbers import duration, size

    reported = {f"{report.model}/{report.dictionary}": report for report in progress}
    lines = []
    for title in sorted({*reported, *(folder.title for folder in folders if folder.title)}):
        # How far it was reported to be, what lies on disk of it, and whether it goes on.
        parts, own = [], [folder for folder in folders if folder.title == title]
        if report := reported.get(title):
            share = 100 * report.done / report.total if report.total else 0
            parts.append(f"{report.phase} {share:.0f} %")
            parts.append(f"last heard of {duration(report.age_seconds)} ago")
        if own:
            parts.append(f"{size(sum(folder.n_bytes for folder in own))} of files")
        running = any(folder.running for folder in own) or (report and not report.stalled)
        parts.append(
            "running"
            if running
            else f"given up: the same harvest command resumes it, `featurescope remove "
            f"'{title}' --harvest` deletes it"
        )
        lines.append(f"{_printable(title)}: {', '.join(parts)}")
    # Folders that were made before anything could be noted of them.
    lines += [
        f"{folder.folder.name}: {size(folder.n_bytes)} of files, of a dictionary not noted"
        + (", running" if folder.running else f"; `featurescope remove {folder.folder.name}`")
        for folder in folders
        if not folder.title
    ]
    return lines


def _as_json(held: Holdings, folders: list[UnfinishedHarvest]) -> dict[str, Any]:
    return {
        "models": list(held.models),
        "dictionaries": [
            {
                "model": holding.view.model,
                "name": holding.view.name,
                "hook_point": holding.view.hook_point,
                "architecture": holding.view.architecture,
                "d_sae": holding.view.d_sae,
                "alive": holding.view.alive if holding.view.harvest else None,
                "n_tokens": holding.view.n_tokens if holding.view.harvest else None,
                "corpus": holding.view.harvest.corpus if holding.view.harvest else None,
                "labelled": holding.labelled,
                "effects": holding.effects,
                "bytes": holding.n_bytes,
                "bytes_for_phrases": holding.kept_bytes,
            }
            for holding in held.dictionaries
        ],
        "corpora": [
            {
                "name": text.name,
                "fingerprint": text.fingerprint,
                "n_documents": text.n_documents,
                "n_tokens": text.n_tokens,
                "windows": text.windows,
                "bytes": text.n_bytes,
                "harvests": list(text.harvests),
            }
            for text in held.corpora
        ],
        "comparisons": [
            {"name": one.name, "dictionaries": list(one.dictionaries), "bytes": one.n_bytes}
            for one in held.comparisons
        ],
        "progress": [
            {
                "model": report.model,
                "dictionary": report.dictionary,
                "phase": report.phase,
                "done": report.done,
                "total": report.total,
                "stalled": report.stalled,
            }
            for report in held.progress
        ],
        "written": dict(vars(held.written)),
        "unfinished": [
            {
                "folder": str(folder.folder),
                "title": folder.title,
                "bytes": folder.n_bytes,
                "running": folder.running,
            }
            for folder in folders
        ],
    }


def _printable(text: str) -> str:
    from app.rendering.tokens import printable

    return printable(text)
