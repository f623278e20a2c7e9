"""Attribution: which features are responsible for one prediction, each ablated alone.

The token at position t is predicted from the tokens before it. A feature f that fires on them is
removed as in `ablation`: x becomes x - a_f d_f at every position where f fires, the dictionary's
error stays in, the forward pass is finished, and

    loss change of f = log p_clean(target) - log p_ablated(target)    in nats,

positive where the feature helps. To first order, with g the derivative of log p_clean(target) by x,

    loss change of f ~ sum over positions of a_f (g . d_f),

for all features from one backward pass. Of a transcoder, x is the activation that it writes, and
a_f is read where it reads. One layer of a cross-layer transcoder writes into later blocks as well:
all that a feature writes is removed in one pass, and the products of all its decoder rows with the
derivatives where they are written are added up. Special tokens (BOS, padding) never count as
firing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sae_core.dictionaries.dictionary import Dictionary
from sae_core.dictionaries.places import Places, places_of
from sae_core.errors import PromptError
from sae_core.interventions.later_blocks import without_later
from sae_core.interventions.prompt import check_feature, check_token, check_tokens, text_positions
from sae_core.language_model.clean_run import CleanRun, clean_run
from sae_core.language_model.model import LanguageModel
from sae_core.language_model.pace import Pace
from sae_core.language_model.predictions import target_log_probability

_NUMBERS_AT_ONCE = 1 << 24
_FIRST_ROUND = 32


@dataclass(frozen=True)
class FeatureEffects:
    """Exact effects of some features on one prediction.

    Attributes:
        features: indices in the dictionary, int64 [n].
        loss_change: log p_clean - log p_ablated of the target, each feature ablated alone, nats,
            float [n].
    """

    features: Tensor
    loss_change: Tensor


@dataclass(frozen=True)
class AttributedPrediction:
    """One prediction in one context, and the features in question.

    Tensors lie on the CPU but for those of `run`.

    Attributes:
        run: the undisturbed run over the tokens before the predicted one, a batch of one.
        dictionary: the one whose features these are.
        places: where it reads and writes.
        target: id of the predicted token.
        log_probability: of the target under the undisturbed model, nats.
        features: the features whose effects are asked for, ascending, int64 [n].
        firings: where they fire, as far as that can reach the prediction.
    """

    run: CleanRun
    dictionary: Dictionary
    places: Places
    target: int
    log_probability: float
    features: Tensor
    firings: FiringsByFeature

    def estimates(self) -> Tensor:
        """First-order loss changes of all features, nats, float [n]."""
        gradients = [part.to(self.dictionary.b_dec.dtype) for part in self._gradients()]
        firings = self.firings
        estimates = torch.zeros(len(self.features), dtype=firings.values.dtype)
        step = _rows_at_once(self.dictionary)
        with torch.no_grad():
            earliest = int(firings.first.min()) if len(self.features) else 0
            for begin in range(earliest, self.run.tokens.shape[1], step):
                own, *later = (part[begin : begin + step] for part in gradients)
                along = self.dictionary.along_rows(own)
                for part, rows in zip(later, self.dictionary.later_rows, strict=True):
                    along += part @ rows.T
                along = along.cpu()
                inside = (firings.positions >= begin) & (firings.positions < begin + step)
                here = inside.nonzero()[:, 0]
                owners = firings.owners[here]
                slopes = along[firings.positions[here] - begin, self.features[owners]]
                estimates.index_add_(0, owners, slopes * firings.values[here])
        return estimates

    def effects(self, estimates: Tensor) -> Iterator[FeatureEffects]:
        """Exact effects of all features, a few at a time, those estimated largest first.

        Each `next` is a short step. Features that start to fire at about the same position run
        together, so that what lies before it is computed for none of them.

        Args:
            estimates: the first-order loss changes that `estimates` returned, float [n].
        """
        # Features that do not fire before the prediction need no forward pass and come last.
        order = estimates.abs().argsort(descending=True, stable=True)
        silent = self.firings.counts[order] == 0
        length = self.run.tokens.shape[1]
        model = self.run.model
        pace = Pace(model, max(model.d_model, self.dictionary.d_out))
        for leading in _rounds(order[~silent]):
            # Within a round by first firing, so that a batch shares the run up to there.
            rest = leading[self.firings.first[leading].argsort(stable=True)]
            while len(rest):
                begin = int(self.firings.first[rest[0]])
                n = pace.rows(length - begin)
                chosen, rest = rest[:n], rest[n:]
                with pace.step(len(chosen) * (length - begin)):
                    loss_change = self._loss_change(chosen, torch.arange(len(chosen)))
                yield FeatureEffects(self.features[chosen], loss_change)
        if bool(silent.any()):
            # What cannot reach the prediction changes it by exactly nothing.
            none = torch.zeros(int(silent.sum()), dtype=estimates.dtype)
            yield FeatureEffects(self.features[order[silent]], none)

    def together(self) -> float:
        """The exact loss change where all features are ablated at once, nats."""
        firing = (self.firings.counts > 0).nonzero()[:, 0]
        if not len(firing):
            return 0.0
        return float(self._loss_change(firing, torch.zeros_like(firing)))

    def _gradients(self) -> list[Tensor]:
        """The derivatives of the target's log-probability by what is written at each of
        `places.written`, [pos, d_out] each."""
        run, places = self.run, self.places
        x = run.x.clone().requires_grad_()
        gone = [run.x.new_zeros(run.x.shape).requires_grad_() for _ in places.later]
        with (
            torch.enable_grad(),
            run.model.replaced(run.hook_point, lambda _: x),
            without_later(run.model, places, gone.__getitem__),
        ):
            hidden = run.model.final_hidden(run.tokens)[0, -1:]
            score = target_log_probability(run.model, hidden, self.target)[0]
        own, *later = torch.autograd.grad(score, [x, *gone])
        return [own[0], *(-part[0] for part in later)]

    @torch.no_grad()
    def _loss_change(self, chosen: Tensor, rows: Tensor) -> Tensor:
        """Loss changes of variants of the context that lack some features, nats, float [variants].

        Args:
            chosen: places in `features` of what is removed, int64 [n].
            rows: the variant that each of them is removed from, rising, int64 [n].
        """
        n, begin = int(rows[-1]) + 1, int(self.firings.first[chosen].min())
        x = self.run.x[0, begin:]
        # Where each firing lies among all positions of all variants, from `begin` on.
        firings = self.firings.of(chosen)
        places = rows.repeat_interleave(self.firings.counts[chosen]) * len(x)
        places += self.firings.positions[firings] - begin

        def written(number: int) -> Tensor:
            return self._written(firings, places, n * len(x), number).view(n, *x.shape)

        own = (x - written(0)).to(x.dtype)
        with without_later(self.run.model, self.places, lambda number: written(1 + number)):
            hidden = self.run.last_hidden(own)
        after = target_log_probability(self.run.model, hidden, self.target)
        return self.log_probability - after.cpu()

    def _written(self, firings: Tensor, places: Tensor, n_places: int, number: int) -> Tensor:
        """Sums of a_f d_f over firings, each at its place; [n_places, d_out], device of `run`.

        `number` is that of the hook point among `places.written` whose d_f are meant.
        """
        dictionary, device = self.dictionary, self.run.x.device
        written = torch.zeros(
            n_places, dictionary.d_out, dtype=dictionary.b_dec.dtype, device=device
        )
        step = max(1, _NUMBERS_AT_ONCE // dictionary.d_out)
        for some, where in zip(torch.split(firings, step), torch.split(places, step), strict=True):
            features = self.features[self.firings.owners[some]].to(device)
            values = self.firings.values[some].to(device)
            rows = dictionary.written_rows(features, number)
            written.index_add_(0, where.to(device), values[:, None] * rows)
        return written


@dataclass(frozen=True)
class FiringsByFeature:
    """Firings ordered by feature, then position.

    Attributes:
        positions: int64 [n].
        owners: place of each firing's feature in the list of features, int64 [n], ascending.
        values: model units, float [n].
        counts: how often each feature of the list fires, int64 [n_features].
        first: position of each feature's first firing; the context's end where there is none.
    """

    positions: Tensor
    owners: Tensor
    values: Tensor
    counts: Tensor
    first: Tensor

    def of(self, chosen: Tensor) -> Tensor:
        """Where the firings of chosen features lie, feature after feature."""
        ends, counts = self.counts.cumsum(0)[chosen], self.counts[chosen]
        skipped = (ends - counts.cumsum(0)).repeat_interleave(counts)
        return skipped + torch.arange(int(counts.sum()))


def predict(
    model: LanguageModel,
    dictionary: Dictionary,
    tokens: Tensor,
    position: int,
    target: int | None = None,
    features: Sequence[int] | None = None,
) -> AttributedPrediction:
    """One prediction to be explained.

    Args:
        model: the language model that predicts.
        dictionary: one that reads the model at one of its hook points.
        tokens: the context, BOS first where the model has one, int64 [n].
        position: of the predicted token, 1 to n; n is the token after the context.
        target: the token whose probability is explained; None: the one that stands there.
        features: the features to ablate; None: all that fire on text before the position.

    Raises:
        PromptError: there is no such position, token or feature; the message names the numbers.
        HookPointError: model and dictionary do not belong together.
    """
    places = places_of(model, dictionary)
    check_tokens(model, tokens.tolist())
    target = _checked_target(model, tokens, position, target)
    for feature in features or ():
        check_feature(dictionary, feature)
    # One undisturbed run, and all firings before the predicted token.
    before = tokens[:position]
    run = clean_run(
        *(model, before[None].to(model.device), places.write), keep_past=True, read=places.read
    )
    with torch.no_grad():
        log_probability = target_log_probability(model, run.hidden[0, -1:], target)
        positions, fired, values = _firings(dictionary, run.read[0], text_positions(model, before))
    asked = fired if features is None else torch.tensor(features, dtype=torch.int64)
    asked = torch.unique(asked)
    # Where no attention follows, only what the last position holds reaches the prediction.
    reaching = torch.isin(fired, asked)
    if not places.write.attention_after:
        reaching &= positions == position - 1
    # By feature, then position: `owners` are places in the list of features asked for.
    order = fired[reaching].argsort(stable=True)
    positions, fired, values = (column[reaching][order] for column in (positions, fired, values))
    owners = torch.searchsorted(asked, fired)
    counts = torch.bincount(owners, minlength=len(asked))
    first = torch.full((len(asked),), position)
    first = first.scatter_reduce(0, owners, positions, "amin")
    firings = FiringsByFeature(positions, owners, values, counts, first)
    return AttributedPrediction(
        run, dictionary, places, target, float(log_probability), asked, firings
    )


def _checked_target(model: LanguageModel, tokens: Tensor, position: int, target: int | None) -> int:
    """The token to explain, once it is known that the context predicts one there."""
    n = len(tokens)
    if not 1 <= position <= n:
        raise PromptError(
            f"There is no prediction at position {position}: the prompt has {n} tokens, so that "
            f"those at 1 to {n} are predicted, {n} being the next one."
        )
    if target is None:
        if position == n:
            raise PromptError(
                f"No token stands at position {n}, after the prompt's {n} tokens: name the one "
                "whose prediction is in question."
            )
        return int(tokens[position])
    check_token(model, target)
    return target


def _firings(dictionary: Dictionary, x: Tensor, positions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Positions, features and values, in the dictionary's precision, of the firings on x [n, d_in]
    at some positions; ordered by position, on the CPU."""
    parts = []
    for some in torch.split(positions, _rows_at_once(dictionary)):
        acts = dictionary.encode(x[some.to(x.device)])
        rows, features = acts.nonzero(as_tuple=True)
        parts.append((some[rows.cpu()], features.cpu(), acts[rows, features].cpu()))
    where, which, values = (torch.cat(column) for column in zip(*parts, strict=True))
    return where, which, values


def _rows_at_once(dictionary: Dictionary) -> int:
    """Positions of which all activations may be held at once."""
    return max(1, _NUMBERS_AT_ONCE // dictionary.d_sae)


def _rounds(order: Tensor) -> Iterator[Tensor]:
    """Cut into 32, then 128, then 512, and so on: within a round the order may be another."""
    size = _FIRST_ROUND
    while len(order):
        yield order[:size]
        order, size = order[size:], 4 * size
