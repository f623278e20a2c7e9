"""The distributions of a study's ratings as pictures."""

from __future__ import annotations

import numpy as np
from markupsafe import Markup

from app.pages.rate.results import KEYS, NAMES, StudyResults
from app.rendering.charts.histograms import chart
from app.rendering.markup import trusted
from app.rendering.tokens import printable
from sae_core.harvest.records import Histogram

Pictures = list[tuple[str, str, list[tuple[int, Markup]]]]


def pictures(results: StudyResults) -> Pictures:
    """For each criterion its key, its name, and a histogram of each dictionary's ratings."""
    return [
        (
            key,
            NAMES[key],
            [
                (
                    place,
                    trusted(
                        chart(
                            Histogram(0.0, result.highest + 1.0, np.array(group.counts, np.int64)),
                            f"{NAMES[key]} of {printable(source.title)}",
                            "points",
                            "ratings",
                            log=False,
                            whole=True,
                        )
                    ),
                )
                for place, (source, group) in enumerate(
                    zip(results.study.sources, result.groups, strict=True)
                )
            ],
        )
        for key in KEYS
        for result in [results.by_criterion[key]]
    ]
