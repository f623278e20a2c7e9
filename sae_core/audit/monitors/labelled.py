"""How a threshold does on texts that were labelled: precision, recall, area, with intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from sae_core.audit.contrast.ranks import area_interval, delong
from sae_core.audit.monitors.monitor import Numbers
from sae_core.audit.monitors.threshold import AlarmShare, above, alarm_share, share_of
from sae_core.errors import MonitorError

FEWEST_LABELLED = 10  # texts of each kind


@dataclass(frozen=True)
class LabelledFigures:
    """What a monitor does on positives and negatives.

    Attributes:
        recall: alarms among the positives.
        false: alarms among the negatives.
        precision: positives among the alarms: it depends on how many of each there are.
        area: AUROC of the levels, whatever the threshold.
        low: lower end of its 95 % interval.
        high: upper end.
    """

    recall: AlarmShare
    false: AlarmShare
    precision: AlarmShare
    area: float
    low: float
    high: float

    def as_json(self) -> dict[str, Any]:
        """Texts and numbers."""
        return asdict(self)


def figures_of(value: Mapping[str, Any]) -> LabelledFigures:
    """What `as_json` made, checked.

    Raises:
        MonitorError: it is something else.
    """
    try:
        numbers = [float(value[name]) for name in ("area", "low", "high")]
        if not all(map(math.isfinite, numbers)):
            raise ValueError("not finite")
        recall, false, precision = (
            share_of(value[name]) for name in ("recall", "false", "precision")
        )
        return LabelledFigures(recall, false, precision, *numbers)
    except (KeyError, TypeError, ValueError) as error:
        raise MonitorError("These are no figures of a monitor, or they are damaged.") from error


def labelled_figures(positives: Numbers, negatives: Numbers, threshold: float) -> LabelledFigures:
    """How a threshold does.

    Args:
        positives: levels of texts that should raise the alarm, float64 [n].
        negatives: levels of texts that should not, float64 [m].
        threshold: texts above it do.

    Raises:
        MonitorError: there are too few of either.
    """
    fewest = min(len(positives), len(negatives))
    if fewest < FEWEST_LABELLED:
        raise MonitorError(
            f"Precision and recall need at least {FEWEST_LABELLED} texts that should raise the "
            f"alarm and as many that should not: there are {len(positives)} and {len(negatives)}."
        )
    wanted = np.arange(len(positives) + len(negatives)) < len(positives)
    areas, spread = delong(np.concatenate([positives, negatives])[:, None], wanted)
    low, high = area_interval(float(areas[0]), float(spread[0, 0]), fewest)
    recall, false = above(positives, threshold), above(negatives, threshold)
    precision = alarm_share(recall.alarms, recall.alarms + false.alarms)
    return LabelledFigures(recall, false, precision, float(areas[0]), low, high)
