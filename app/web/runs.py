"""The trainings that an address names."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends

from app.errors import NotFound
from app.store.types.runs import RunView
from app.web.site import TheSite


def _runs(name: str, site: TheSite) -> list[RunView]:
    """The runs of a sweep.

    Raises:
        NotFound: it has none.
    """
    runs = site.store.runs.all(name) if name else []
    if not runs:
        known = ", ".join(site.store.runs.sweeps())
        hint = (
            f"There are {known}." if known else "`featurescope sweep --help` tells how to make one."
        )
        raise NotFound(f"There is no sweep {name!r}. {hint}")
    return runs


def listed(sweep: str, site: TheSite) -> list[RunView]:
    """The runs of a sweep; empty: those of none.

    Raises:
        NotFound: there is no such sweep.
    """
    return _runs(sweep, site) if sweep else site.store.runs.all("")


TheRuns = Annotated[list[RunView], Depends(_runs)]
