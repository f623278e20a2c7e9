"""Write docs/settings.md from the class Settings, or with --check say whether it is up to date."""

from __future__ import annotations

import sys
from pathlib import Path

from pydantic.fields import FieldInfo

from app.settings import Settings

PAGE = Path(__file__).parent.parent / "docs" / "settings.md"
HEAD = """\
# Settings

Every setting is an environment variable. Options of the command line go before them.
This page is generated from `app/settings.py` by `make docs`.
"""


def _default(field: FieldInfo) -> str:
    return "unset" if field.default is None else f"`{field.default}`"


def render() -> str:
    """The page as Markdown."""
    prefix = Settings.model_config["env_prefix"]
    rows = [
        f"| `{prefix}{name.upper()}` | {_default(field)} | {field.description} |"
        for name, field in Settings.model_fields.items()
    ]
    return "\n".join([HEAD, "| variable | default | meaning |", "|---|---|---|", *rows, ""])


def main() -> None:
    """Write the page, or compare it."""
    if "--check" not in sys.argv:
        PAGE.parent.mkdir(exist_ok=True)
        PAGE.write_text(render())
    elif not PAGE.exists() or PAGE.read_text() != render():
        raise SystemExit(f"{PAGE.name} does not match the settings; run: make docs")


if __name__ == "__main__":
    main()
