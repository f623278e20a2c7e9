"""Works the prompt page out: what its address asks, put into what its templates show."""

from __future__ import annotations

import math

import numpy as np
from markupsafe import Markup

from app.pages.prompt.active_features import ActiveFeatures, effects_column
from app.pages.prompt.differences import compare
from app.pages.prompt.ranking import EffectRanking
from app.pages.prompt.session import PromptSession, Target
from app.pages.prompt.view.difference_rows import difference_lines
from app.pages.prompt.view.effect_rows import effects, joint
from app.pages.prompt.view.page import Prediction, Problems, PromptPage
from app.pages.prompt.view.panels import (
    WhyPanel,
    feature_panel,
    missing_tokens,
    token_numbers,
    token_panel,
)
from app.pages.prompt.view.rows import MOST_ROWS, FeatureLines
from app.pages.prompt.view.strip import (
    Paint,
    paint_feature,
    paint_loss,
    paint_occlusion,
    strip,
)
from app.rendering.addresses import model_page_address
from app.rendering.markup import trusted
from app.rendering.numbers import activation, count, nats, number
from app.rendering.underlines import Underlines
from app.web.search.named_tokens import neutral_token
from app.worker.client.readings import Reading
from sae_core.harvest.records import ContextEffect


class PromptPages:
    """Builds the page of one session.

    Args:
        session: what is asked.
        problems: what was wrong with the address already.
        feature_alone: only what the chosen feature does on the prompt.
    """

    def __init__(
        self,
        session: PromptSession,
        problems: Problems,
        feature_alone: bool = False,
    ) -> None:
        self._session = session
        self._query = session.query
        self._typeset = session.model.typeset
        self._page = PromptPage(session, problems)
        self._problems = problems
        self._alone = feature_alone
        self._ranking: EffectRanking | None = None
        self._missing: Paint | None = None

    def page(self) -> PromptPage:
        """The page, as much of it as can be answered."""
        with self._problems.at("dictionaries"):
            self._session.check_dictionaries()
        if self._query.text is not None:
            with self._problems.at("text"):
                self._page.reading = self._session.reading
        reading = self._page.reading
        if reading is not None and self._alone:
            self._page.strips = [self._strip(reading, self._feature([reading])[0], "your text")]
        elif reading is not None:
            second = None
            if self._query.other:
                with self._problems.at("other"):
                    second = self._session.second
            self._show(reading, second)
        return self._page

    def _show(self, reading: Reading, second: Reading | None) -> None:
        page, active = self._page, self._session.active(reading)
        page.summary = self._summary(reading, active)
        if (put := neutral_token(self._session.vocabulary)) is not None:
            page.neutral = self._typeset.visible[put]
        paints = self._feature([reading] if second is None else [reading, second])
        target = None
        if second is None:
            with self._problems.at("token"):
                if (position := self._session.token()) is not None:
                    page.token = token_panel(reading, self._typeset, position)
            self._why(reading)
            target = self._responsible(reading, active)
            self._table(reading, active)
        else:
            self._compare((reading, active), (second, self._session.active(second)))
        rows = len(reading) if self._query.everything else MOST_ROWS
        page.numbers = token_numbers(reading, self._typeset, paints[0], self._missing, rows)
        aim = target.position if target else None
        page.strips = [self._strip(reading, paints[0], "the prompt", aim, second is None)]
        if second is not None:
            page.strips.append(self._strip(second, paints[1], "the other prompt"))

    def _compare(
        self, first: tuple[Reading, ActiveFeatures], second: tuple[Reading, ActiveFeatures]
    ) -> None:
        """The features that differ between two prompts."""
        page, names = self._page, list(self._session.chosen)
        differences = compare(names, first[1].shares, second[1].shares)
        page.counts = {kind: len(every) for kind, every in differences.items()}
        sides = ((self._writer(first[0]), first[1]), (self._writer(second[0]), second[1]))
        page.differences = difference_lines(differences, sides, self._query)

    def _strip(
        self,
        reading: Reading,
        paint: Paint,
        name: str,
        aim: int | None = None,
        following: bool = False,
    ) -> Markup:
        page = self._page
        return strip(
            reading,
            self._typeset,
            paint,
            f"Tokens of {name}",
            chosen=page.token.position if page.token else None,
            aim=aim,
            following=following,
            ablated=(
                (
                    f"/api/v1{model_page_address(page.model, 'ablation')}",
                    page.feature.described.name,
                )
                if page.feature
                else None
            ),
        )

    def _writer(self, reading: Reading) -> FeatureLines:
        session = self._session
        model = session.model  # a set may hold features of dictionaries that are not read
        return FeatureLines(model.store, model.dictionaries, self._typeset, len(reading))

    def _summary(self, reading: Reading, active: ActiveFeatures) -> list[tuple[str, str]]:
        n, loss = len(reading), reading.mean_loss
        return [
            (count(n), "token" if n == 1 else "tokens"),
            (number(loss, 2), "nats per token"),
            *(
                (count(int((active.dictionary == place).sum())), f"active in {name}")
                for place, name in enumerate(active.names)
            ),
        ]

    def _feature(self, readings: list[Reading]) -> list[Paint]:
        """The chosen feature's panel; how the strips look."""
        name = self._query.feature
        if name is None:
            uniform = math.log(self._session.model.facts.d_vocab)
            return [paint_loss(reading.loss, uniform) for reading in readings]
        paints = [Paint.blank(len(reading)) for reading in readings]
        with self._problems.at("feature"):
            view = self._session.known(name)
            ever = float(self._session.model.store.scales(view).maxima[name.index])
            fired = [self._session.firings(reading, name) for reading in readings]
            ablated: list[ContextEffect | None] = [None for _ in readings]
            with self._problems.at("ablation"):
                ablated = [*self._session.ablation(name, readings)]
            peaks = [float(values.max(initial=0.0)) for _, values in fired]
            full = ever or max(peaks)
            paints = [
                paint_feature(len(reading), *where, full, effect, Underlines.of(view))
                for reading, where, effect in zip(readings, fired, ablated, strict=True)
            ]
            described = self._writer(readings[0]).described([name])[name]
            self._page.feature = feature_panel(
                readings[0],
                self._typeset,
                described,
                (len(fired[0][0]), peaks[0]),
                ever,
                ablated[0],
                Underlines.of(view),
            )
        return paints

    def _why(self, reading: Reading) -> None:
        """Why the chosen feature fires."""
        name = self._query.feature
        if not self._query.why or name is None or self._page.feature is None:
            return
        with self._problems.at("why"):
            occlusion, put = self._session.occlusion(name), self._session.replacement()
            words, every = missing_tokens(occlusion, reading, self._typeset)
            paint = paint_occlusion(
                len(reading), occlusion.positions, occlusion.changes, occlusion.activation
            )
            self._missing = paint
            label = self._typeset.label
            self._page.why = WhyPanel(
                position=occlusion.position,
                html=trusted(label[int(reading.tokens[occlusion.position])]),
                activation=activation(occlusion.activation, occlusion.activation),
                put=put,
                replacement=None if put is None else trusted(label[put]),
                words=words,
                every=every,
                strip=strip(reading, self._typeset, paint, "What the activation hangs on"),
            )

    def _responsible(self, reading: Reading, active: ActiveFeatures) -> Target | None:
        """The features responsible for the prediction in question."""
        page, query = self._page, self._query
        target = None
        with self._problems.at("target"):
            target = self._session.target()
            if target is None:
                return None
            page.prediction = Prediction(
                target.position,
                target.token,
                trusted(self._typeset.label[target.token]),
                target.actual,
                target.likeliest,
            )
            self._ranking = self._session.ranking(target, query.exact or query.sort == "effect")
            page.effects = effects(self._ranking, active, self._writer(reading), query)
            with self._problems.at("together"):
                results = self._session.together(target)
                names = [name for result in results for name in result.features]
                known = self._writer(reading).described(names)
                page.joints = [joint(result, known) for result in results]
        return target

    def _table(self, reading: Reading, active: ActiveFeatures) -> None:
        """The active features, or those active on the chosen token."""
        page, query = self._page, self._query
        inside = page.token is not None and page.token.html is not None
        shown = self._session.active(reading, query.token) if inside else active
        known = self._ranking
        changes = (
            {}
            if known is None or not known.complete
            else dict(zip(known.names, known.exact.tolist(), strict=True))
        )
        keys = {
            "activation": shown.maximum,
            "share": shown.share,
            "rarity": shown.rarity,
            "effect": np.abs(effects_column(shown, changes)),
        }
        unknown = page.sort == "effect" and not changes
        rows = shown.ordered(keys["activation" if unknown else page.sort]).tolist()
        page.active = len(rows)
        page.lines = self._writer(reading).lines(
            shown, rows if query.everything else rows[:MOST_ROWS], query.feature
        )
        page.changes = {
            name: nats(changes[name])
            for line in page.lines
            if (name := line.described.name) in changes
        }
