"""Where the files that are not code lie: inside the installed package, or in the clone."""

from __future__ import annotations

from pathlib import Path

from app.errors import SettingsError

RESOURCES = ("templates", "static", "migrations", "demo")

_PACKAGE = Path(__file__).resolve().parent


def resource(name: str) -> Path:
    """The folder `name`, one of `RESOURCES`.

    A built wheel carries it as `app/_resources/name`; an editable install and a clone read it
    where it is edited, beside the package.
    """
    if name not in RESOURCES:
        raise SettingsError(f"There is no resource {name!r}; there are {', '.join(RESOURCES)}.")
    for folder in (_PACKAGE / "_resources" / name, _PACKAGE.parent / name):
        if folder.is_dir():
            return folder
    raise SettingsError(
        f"The folder {name!r} is missing from this installation of Featurescope; reinstall it."
    )
