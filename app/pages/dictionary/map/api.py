"""A map as JSON, and its places and colours as bytes, which browsers keep by their checksum."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from app.errors import NotFound
from app.pages.dictionary.map.colours import column, columns_of
from app.pages.dictionary.map.page import MapPage
from app.pages.dictionary.map.query import MapQuery, TheMapQuery
from app.pages.dictionary.map.schema import Colour, MapAnswer, MapColour, MapFeature, MapHitsAnswer
from app.rendering.addresses import dictionary_address
from app.rendering.words.summary import summary_of_row
from app.web.schema import ERRORS
from app.web.site import TheDictionary, TheSite

router = APIRouter(prefix="/api/v1/d/{model}/{dictionary}/map", tags=["pages"], responses=ERRORS)
BYTES: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/octet-stream": {}}},
    304: {"description": "As you have it."},
}


@router.get("")
def feature_map(dictionary: TheDictionary, query: TheMapQuery, site: TheSite) -> MapAnswer:
    """How a map was made, and the features in a part of it.

    \f
    For example /api/v1/d/demo/mlp-4096/map?view=0.5,0.5,0.25
    """
    page = MapPage(site, dictionary, query)
    drawn, lines, typeset = page.map, page.lines, site.typeset(dictionary)
    return MapAnswer(
        model=dictionary.model,
        dictionary=dictionary.name,
        checksum=drawn.record.checksum,
        digest=drawn.record.digest,
        parameters=dict(drawn.record.parameters),
        n_features=dictionary.d_sae,
        placed=int(drawn.placed.sum()),
        points=f"/api/v1{dictionary_address(dictionary.model, dictionary.name, 'map', 'points')}",
        colours=[MapColour.model_validate(option) for option in page.options],
        heading=page.heading,
        note=page.problem or (page.hits.note if page.hits else ""),
        total=len(page.listed),
        page=query.page,
        pages=page.pages,
        features=[
            MapFeature(
                index=line.index,
                x=line.x,
                y=line.y,
                label=line.row.label if line.row else "",
                summary=summary_of_row(line.row, typeset).text if line.row else "",
            )
            for line in lines
        ],
    )


@router.get("/points", response_class=Response, responses=BYTES)
def points(dictionary: TheDictionary, site: TheSite, request: Request) -> Response:
    """Where each feature lies: x and y, 16 bits each, the lower byte first.

    \f
    For example /api/v1/d/demo/mlp-4096/map/points
    """
    drawn = MapPage(site, dictionary, MapQuery()).map
    # Places are as good as random: to compress them takes time and saves nothing.
    plain = {"Content-Encoding": "identity"}
    return _bytes(request, drawn.record.digest, drawn.places.astype("<u2").tobytes(), plain)


@router.get("/colours/{colour}", response_class=Response, responses=BYTES)
def colours(dictionary: TheDictionary, colour: Colour, site: TheSite, request: Request) -> Response:
    """What colour each feature has: a byte each.

    \f
    For example /api/v1/d/demo/mlp-4096/map/colours/density
    """
    drawn = MapPage(site, dictionary, MapQuery()).map
    known = colour in columns_of(dictionary, drawn)
    made = column(site, dictionary, drawn, colour) if known else None
    if made is None:
        raise NotFound(f"Nothing is known of the {colour} of the features of {dictionary.title}.")
    levels = made.levels.tobytes()
    return _bytes(request, hashlib.sha256(levels).hexdigest(), levels)


@router.get("/hits")
def hits(dictionary: TheDictionary, query: TheMapQuery, site: TheSite) -> MapHitsAnswer:
    """The features that fit a search, wherever they lie.

    \f
    For example /api/v1/d/demo/mlp-4096/map/hits?q=self
    """
    found = MapPage(site, dictionary, query).hits
    if found is None:
        return MapHitsAnswer(features=[], note="Nothing is searched.")
    return MapHitsAnswer(features=list(found.features), note=found.note)


def _bytes(
    request: Request, checksum: str, content: bytes, more: Mapping[str, str] | None = None
) -> Response:
    """Bytes, unless the asker has these very ones."""
    headers = {"ETag": f'"{checksum[:32]}"'}
    if headers["ETag"] in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    headers |= more or {}
    return Response(content, headers=headers, media_type="application/octet-stream")
