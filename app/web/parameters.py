"""What addresses may ask for, with its defaults, for pages and JSON alike."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import parse_qsl, quote, unquote

from fastapi import Cookie, Depends, Query, Request
from starlette.responses import Response

from app.errors import InvalidRequest
from app.rendering.contexts import ContextStyle
from app.rendering.tokens import spellings
from app.store.types.queries import FeatureQuery, Sort, TokenPattern
from app.store.written.texts import LONGEST_AUTHOR

PER_PAGE = 50
AUTHOR_COOKIE = "author"
AUTHOR_SECONDS = 365 * 24 * 3600
MOST_FIELDS = 100
_DESCENDING = frozenset({"density", "maximum", "effect", "rule", "found"})


async def _feature_query(
    sort: Annotated[Sort, Query(description="What to order by.")] = "index",
    order: Annotated[
        Literal["", "asc", "desc"],
        Query(description="Direction; empty: figures with the largest first, else upwards."),
    ] = "",
    alive: Annotated[
        Literal["", "1", "0"],
        Query(description="1: only features that fire; 0: only dead ones; empty: all."),
    ] = "",
    q: Annotated[
        str, Query(max_length=200, description="Keep features whose label contains this.")
    ] = "",
    on: Annotated[
        str,
        Query(
            max_length=200,
            description="Keep features that have a token that contains this among the ten that "
            "they fire on most. Blanks count; `\\n`, `\\t` and `\\x0a`, and the signs that pages "
            "show for white space, may stand for what they mean.",
        ),
    ] = "",
    whole: Annotated[
        Literal["", "1"], Query(description="1: the token must be just `on`, not contain it.")
    ] = "",
    above: Annotated[
        Literal["", "1"], Query(description="1: only features whose rule is above its null.")
    ] = "",
    found: Annotated[
        int,
        Query(ge=0, le=99, description="Only features found in at least so many other trainings."),
    ] = 0,
    page: Annotated[int, Query(ge=1, le=10_000_000, description="Page, from 1.")] = 1,
) -> FeatureQuery:
    return FeatureQuery(
        sort=sort,
        descending=order == "desc" or (order == "" and sort in _DESCENDING),
        alive={"": None, "1": True, "0": False}[alive],
        page=page,
        per_page=PER_PAGE,
        search=q.strip(),
        fires_on=TokenPattern(on, spellings(on), whole == "1") if on else None,
        above_null=above == "1",
        found=found,
    )


async def _style(
    width: Annotated[
        Literal["short", "full"],
        Query(description="Surroundings of the strongest token, or the whole window."),
    ] = "short",
    newlines: Annotated[Literal["", "0", "1"], Query(description="Whether lines break.")] = "",
) -> ContextStyle:
    return ContextStyle(full=width == "full", newlines=newlines == "1")


async def _author(
    kept: Annotated[str, Cookie(alias=AUTHOR_COOKIE, include_in_schema=False)] = "",
) -> str:
    """The name that this browser's reader last signed with; empty: none."""
    return unquote(kept, errors="replace")[:LONGEST_AUTHOR]


def remember_author(answer: Response, author: str) -> None:
    """Let the browser keep a name that its reader signed with; an empty one changes nothing."""
    if author:
        answer.set_cookie(
            AUTHOR_COOKIE,
            quote(author),
            max_age=AUTHOR_SECONDS,
            path="/",
            httponly=True,
            samesite="lax",
        )


async def _form(request: Request) -> dict[str, str]:
    body = (await request.body()).decode("utf-8", "replace")
    form: dict[str, str] = {}
    try:
        pairs = parse_qsl(
            body, keep_blank_values=True, errors="replace", max_num_fields=MOST_FIELDS
        )
    except ValueError:
        raise InvalidRequest(f"A form here has at most {MOST_FIELDS} fields.") from None
    for name, value in pairs:  # a name stands twice where the page sends along what is typed now
        if value or name not in form:
            form[name] = value
    return form


def whole_number(written: str) -> int:
    """A number as a form sends it.

    Raises:
        InvalidRequest: it is none.
    """
    if not (written.isascii() and written.isdecimal() and len(written) < 10):
        raise InvalidRequest(f"{written!r:.40} is no number here.")
    return int(written)


Form = Annotated[dict[str, str], Depends(_form)]
"""What a form of ours sends, by field; of two of one name the last that says something."""
Author = Annotated[str, Depends(_author)]
TableQuery = Annotated[FeatureQuery, Depends(_feature_query)]
Style = Annotated[ContextStyle, Depends(_style)]
