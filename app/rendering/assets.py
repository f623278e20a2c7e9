"""Style sheets and scripts: served from memory of their content's hash, kept forever."""

from __future__ import annotations

import hashlib
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

FOREVER = "public, max-age=31536000, immutable"


def tree_hash(folder: Path) -> str:
    """A short hash of all files below a folder, their names included."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            digest.update(path.relative_to(folder).as_posix().encode() + b"\0")
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:12]


class Assets(StaticFiles):
    """`/static/HASH/path`, cached forever, and `/static/path`, checked at each use.

    One hash stands for the whole tree, so that modules import each other by relative address
    and still never mix two versions.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(directory=folder)
        self.hash = tree_hash(folder)

    def address(self, path: str) -> str:
        """Where a page finds a file."""
        return f"/static/{self.hash}/{path}"

    async def get_response(self, path: str, scope: Scope) -> Response:
        """The file, or 404; an old hash is not answered with newer content."""
        first, _, rest = path.partition("/")
        hashed = first == self.hash
        response = await super().get_response(rest if hashed else path, scope)
        if response.status_code not in (200, 304):
            raise HTTPException(response.status_code)
        response.headers["Cache-Control"] = FOREVER if hashed else "no-cache"
        return response
