"""Where each page is found: one function for each kind of address."""

from __future__ import annotations

from urllib.parse import quote, urlencode


def model_page_address(model: str, page: str = "prompt", **query: str) -> str:
    """The address of a model's page, `prompt` or `steer`; empty query values are left out."""
    kept = urlencode({name: value for name, value in query.items() if value}, safe=":")
    return f"/m/{quote(model, safe='')}/{page}" + (f"?{kept}" if kept else "")


def dictionary_address(model: str, dictionary: str, *rest: object, **query: object) -> str:
    """The address of a dictionary's page, or of one below it; empty query values are left out."""
    parts = "".join(f"/{quote(str(part), safe='')}" for part in (model, dictionary, *rest))
    kept = {name: value for name, value in query.items() if value not in (None, "", False)}
    return f"/d{parts}" + (f"?{urlencode(kept)}" if kept else "")


def search_address(typed: str, of: str = "", kind: str = "", by: str = "") -> str:
    """The address of a search; `of`: a dictionary as `model/name`, `kind`: of hits; `by`: meaning
    or phrase, where it is not by words."""
    kept = {name: value for name, value in (("q", typed), ("d", of), ("k", kind)) if value}
    query = urlencode(kept, safe="/", errors="replace")
    return "/search" + (f"/{by}" if by else "") + (f"?{query}" if query else "")


def example_search_address(of: str, fire: str, quiet: str) -> str:
    """The address of a search by example; the texts one a line."""
    kept = {name: value for name, value in (("d", of), ("fire", fire), ("not", quiet)) if value}
    return f"/search/example?{urlencode(kept, safe='/', errors='replace')}"


def list_address(name: str, *rest: str) -> str:
    """The address of a list of features, or of one below it."""
    return "/lists" + "".join(f"/{quote(part, safe='')}" for part in (name, *rest))


def study_address(study: str, *rest: str) -> str:
    """The address of a study of blind ratings, or of one below it."""
    return "/rate" + "".join(f"/{quote(part, safe='')}" for part in (study, *rest))


def runs_address(*chosen: str, sweep: str = "") -> str:
    """The address of the page of all runs, or of a sweep's, with the curves of the chosen ones."""
    query = [("sweep", sweep)] if sweep else []
    query += [("with", name) for name in chosen]
    return "/runs" + (f"?{urlencode(query)}" if query else "")


def run_address(name: str) -> str:
    """The address of a run's page."""
    return f"/runs/{quote(name, safe='')}"


def sweep_address(name: str, **query: str) -> str:
    """The address of a sweep's page; empty query values are left out."""
    kept = {key: value for key, value in query.items() if value}
    return f"/sweeps/{quote(name, safe='')}" + (f"?{urlencode(kept)}" if kept else "")


def comparison_address(name: str, *rest: object, **query: object) -> str:
    """The address of a comparison, or of one below it; empty query values are left out."""
    parts = "".join(f"/{quote(str(part), safe='')}" for part in (name, *rest))
    kept = {key: value for key, value in query.items() if value not in (None, "")}
    return f"/compare{parts}" + (f"?{urlencode(kept)}" if kept else "")


def circuit_address(model: str, name: str) -> str:
    """The address of the circuit of a task."""
    return f"/m/{quote(model, safe='')}/circuit/{quote(name, safe='')}"


def contrast_address(name: str) -> str:
    """The address of a contrast of two sets of texts."""
    return f"/contrast/{quote(name, safe='')}"


def monitor_address(name: str, **query: object) -> str:
    """The address of a monitor; empty query values are left out."""
    kept = {key: value for key, value in query.items() if value not in (None, "")}
    return f"/monitors/{quote(name, safe='')}" + (f"?{urlencode(kept)}" if kept else "")


def experiment_address(name: str, **query: object) -> str:
    """The address of an experiment; empty query values are left out."""
    kept = {key: value for key, value in query.items() if value not in (None, "")}
    return f"/experiments/{quote(name, safe='')}" + (f"?{urlencode(kept)}" if kept else "")


def graph_address(model: str, name: str = "", *rest: object, **query: object) -> str:
    """The address of an attribution graph, or of one below it; without a name that of the form;
    empty query values are left out."""
    parts = "".join(f"/{quote(str(part), safe='')}" for part in (name, *rest) if part != "")
    kept = {key: value for key, value in query.items() if value not in (None, "")}
    return f"/m/{quote(model, safe='')}/graph{parts}" + (f"?{urlencode(kept)}" if kept else "")
