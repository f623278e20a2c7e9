"""Monitors as JSON."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Query

from app.pages.audit.monitors import schema as types
from app.pages.audit.monitors.reading import read_with
from app.pages.audit.monitors.view import monitor_page
from app.rendering.addresses import monitor_address
from app.web.routes import PatientRoute
from app.web.schema import ERRORS, floats
from app.web.site import TheSite
from app.worker.protocol.monitors import LONGEST_LEVEL_TEXT
from sae_core.audit.monitors.threshold import AlarmShare

router = APIRouter(prefix="/api/v1", tags=["audit"], responses=ERRORS, route_class=PatientRoute)


@router.get("/monitors")
def monitors(site: TheSite) -> types.MonitorList:
    """All monitors.

    \f
    For example /api/v1/monitors
    """
    return types.MonitorList(
        monitors=[
            types.MonitorSummary(**asdict(line), address=monitor_address(line.name))
            for line in site.store.audit.monitors.all()
        ]
    )


@router.get("/monitors/{name}")
def monitor(name: str, site: TheSite) -> types.MonitorAnswer:
    """What a monitor watches, the rates that were asked for and observed, and its newest alarms.

    \f
    For example /api/v1/monitors/rude
    """
    page = monitor_page(site.store.audit.monitors.view(name), site.store)
    record, details = page.view.record, page.view.record.details
    chosen, labelled = details.threshold, None
    if (own := details.labelled) is not None:
        labelled = types.LabelledAnswer(
            positives=details.labels[0],
            negatives=details.labels[1],
            recall=_rate(own.recall),
            false=_rate(own.false),
            precision=_rate(own.precision),
            area=own.area,
            low=own.low,
            high=own.high,
        )
    return types.MonitorAnswer(
        name=name,
        title=record.title,
        model=record.model,
        dictionary=record.dictionary,
        origin=details.origin.value,
        origin_name=details.origin_name,
        features=[types.MonitorFeature(**asdict(row)) for row in page.features],
        direction=[*details.monitor.direction],
        offset=details.monitor.offset,
        pooling=details.monitor.pooling.value,
        threshold=chosen.threshold,
        rate=chosen.rate,
        chosen=_rate(chosen.chosen),
        stated=_rate(chosen.stated),
        silent=chosen.silent,
        corpus=details.text.name,
        n_ctx=details.text.n_ctx,
        documents=details.text.documents,
        labelled=labelled,
        problem=page.problem,
        raised=page.view.raised,
        unsent=page.view.unsent,
        alarms=[
            types.AlarmAnswer(
                source=alarm.record.source,
                turn=alarm.record.turn,
                level=alarm.record.level,
                action=alarm.record.action,
                before=alarm.record.excerpt[0],
                token=alarm.record.excerpt[1],
                behind=alarm.record.excerpt[2],
                webhook=alarm.webhook,
                created=alarm.created,
            )
            for alarm in page.alarms
        ],
        created=page.view.created,
        address=page.address,
    )


@router.get("/monitors/{name}/level")
def level(
    name: str,
    site: TheSite,
    text: Annotated[str, Query(max_length=LONGEST_LEVEL_TEXT, description="That is read.")],
) -> types.LevelAnswer:
    """The level of a text, whether it raises the alarm, and the level of each token.

    \f
    For example /api/v1/monitors/rude/level?text=Thank+you
    """
    view = site.store.audit.monitors.view(name)
    known, read = read_with(site, view, text)
    pieces = site.store.vocabulary(known.model_id).pieces
    threshold = view.record.details.threshold.threshold
    own = read.level[0]
    return types.LevelAnswer(
        name=name,
        level=None if math.isnan(own) else own,
        alarm=own > threshold,
        threshold=threshold,
        tokens=[pieces[token].decode("utf-8", "replace") for token in read.tokens.tolist()],
        levels=floats(read.levels[0]),
    )


def _rate(share: AlarmShare) -> types.RateAnswer:
    return types.RateAnswer(
        texts=share.texts,
        alarms=share.alarms,
        share=None if math.isnan(share.share) else share.share,
        low=share.low,
        high=share.high,
    )
