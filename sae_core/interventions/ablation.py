"""Ablation: what removing one feature does to the prediction of every later token.

At every position of a context the activation x becomes x - a_f d_f, so that the dictionary's error
stays in; the forward pass is finished, and (of a transcoder, x is the activation that it writes,
such as the MLP's output, and a_f is read where it reads; of one layer of a cross-layer transcoder
each later block loses, in the same pass, what the feature writes there)

    loss change of token t = log p_clean(tok_t | tok_<t) - log p_ablated(tok_t | tok_<t)   in nats,

positive where the feature was helping. Special tokens (BOS, padding) never count: a firing on one
is not removed, and the prediction of one is not listed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from sae_core.dictionaries.dictionary import Dictionary
from sae_core.dictionaries.places import Places, places_of
from sae_core.harvest.records import ContextEffect
from sae_core.interventions.later_blocks import without_later
from sae_core.language_model.clean_run import CleanRun, clean_run
from sae_core.language_model.model import LanguageModel
from sae_core.language_model.predictions import rows_at_once, wide

N_SHOWN = 5
BATCH_TOKENS = 4096


def ablate(
    model: LanguageModel,
    dictionary: Dictionary,
    feature: int,
    contexts: Sequence[Tensor],
    batch_tokens: int = BATCH_TOKENS,
) -> Iterator[ContextEffect]:
    """Effects of ablating a feature on each context, in order.

    The work is done batch by batch, when the first effect of a batch is asked for.

    Args:
        model: the language model that the dictionary reads.
        dictionary: one that reads and writes the model at hook points that it has.
        feature: index in the dictionary.
        contexts: the token ids of each context, int64 [pos], of any length up to the model's n_ctx.
        batch_tokens: how many tokens a batch of several contexts may hold, padding included.

    Raises:
        HookPointError: model and dictionary do not belong together.
    """
    places = places_of(model, dictionary)
    special = torch.from_numpy(model.vocabulary.is_special).to(model.device)
    for batch in _batches(contexts, batch_tokens):
        tokens = _padded(batch).to(model.device)
        run = clean_run(model, tokens, places.write, read=places.read)
        real = ~special[run.tokens]
        for row, context in enumerate(batch):
            real[row, len(context) :] = False
        effects = _effects(run, places, dictionary, feature, real)
        yield from _by_context(effects, len(batch), real.shape[1])


class _Effects(NamedTuple):
    """What a batch's ablation changes, one row a prediction.

    Attributes:
        targets: the predicted token's place in the flattened batch, ascending, int64 [n].
        loss_change: log p_clean - log p_ablated of that token, nats, float32 [n].
        raised_ids: the five tokens whose logit ablation raises most, int64 [n, 5].
        raised: by how much it raises them, ablated - clean logit, float32 [n, 5].
        lowered_ids: the five tokens whose logit it lowers most, int64 [n, 5].
        lowered: by how much it lowers them, a negative number, float32 [n, 5].
    """

    targets: Tensor
    loss_change: Tensor
    raised_ids: Tensor
    raised: Tensor
    lowered_ids: Tensor
    lowered: Tensor


@torch.no_grad()
def _effects(
    run: CleanRun, places: Places, dictionary: Dictionary, feature: int, real: Tensor
) -> _Effects:
    """Ablate in one batch; `real` [batch, pos] is False at special tokens and at padding."""
    acts = dictionary.encode_feature(run.read, feature).masked_fill(~real, 0.0)
    fires = acts != 0
    # Without attention behind the hook point, a firing changes the prediction of the next token
    # alone; with it, of every later token.
    changes = fires.cumsum(1) > 0 if run.hook_point.attention_after else fires
    # A prediction is listed by the position it is made at, the one before its token.
    rows = (changes[:, :-1] & real[:, 1:]).nonzero()
    sources = rows[:, 0] * real.shape[1] + rows[:, 1]
    # The final hidden states at those positions, with a_f d_f taken off the activation.
    direction = dictionary.decoder_row(feature)
    if not len(sources):
        ablated = run.hidden.new_zeros(0, run.hidden.shape[-1])
    elif run.hook_point.attention_after:
        x = (run.x - acts[..., None] * direction).to(run.x.dtype)

        def gone(number: int) -> Tensor:
            return acts[..., None] * dictionary.written_row(feature, 1 + number)

        with without_later(run.model, places, gone):
            ablated = run.rerun(x).flatten(0, 1)[sources]
    else:
        at = acts.flatten()[sources, None]
        x = (run.x.flatten(0, 1)[sources] - at * direction).to(run.x.dtype)
        ablated = run.rerun_rows(sources, x)
    # Logits are compared a few rows at a time: all of them together may not fit into memory.
    clean = run.hidden.flatten(0, 1)[sources]
    expected = run.tokens.flatten()[sources + 1]
    step = rows_at_once(run.model)
    parts = [
        _compare(run.model, clean[i : i + step], ablated[i : i + step], expected[i : i + step])
        for i in range(0, max(1, len(sources)), step)
    ]
    return _Effects(sources + 1, *(torch.cat(column) for column in zip(*parts, strict=True)))


def _compare(
    model: LanguageModel, clean: Tensor, ablated: Tensor, expected: Tensor
) -> tuple[Tensor, ...]:
    """All columns of `_Effects` but `targets`.

    Args:
        model: whose unembedding turns hidden states into logits.
        clean: final hidden states of the undisturbed model, [n, d_model].
        ablated: those with the feature removed, [n, d_model].
        expected: the tokens that are predicted there, int64 [n].
    """
    before, after = wide(model.head(clean)), wide(model.head(ablated))
    changes = after - before
    raised, lowered = changes.topk(N_SHOWN, dim=-1), changes.topk(N_SHOWN, dim=-1, largest=False)
    loss_change = cross_entropy(after, expected, reduction="none")
    loss_change -= cross_entropy(before, expected, reduction="none")
    return loss_change, raised.indices, raised.values, lowered.indices, lowered.values


def _batches(contexts: Sequence[Tensor], limit: int) -> Iterator[Sequence[Tensor]]:
    """Contexts in order, in batches that padding does not bring above `limit` tokens."""
    begin, longest = 0, 0
    for end, context in enumerate(contexts):
        longest = max(longest, len(context))
        if end > begin and (end + 1 - begin) * longest > limit:
            yield contexts[begin:end]
            begin, longest = end, len(context)
    if begin < len(contexts):
        yield contexts[begin:]


def _padded(contexts: Sequence[Tensor]) -> Tensor:
    """Contexts with zeros at their ends, int64 [len(contexts), longest]."""
    tokens = torch.zeros(len(contexts), max(1, *map(len, contexts)), dtype=torch.int64)
    for row, context in zip(tokens, contexts, strict=True):
        row[: len(context)] = context
    return tokens


def _by_context(effects: _Effects, n: int, length: int) -> Iterator[ContextEffect]:
    """A batch's effects cut into those of its n contexts, padded to `length` positions each."""
    columns = [column.cpu().numpy() for column in effects]
    bounds = np.searchsorted(columns[0], np.arange(n + 1) * length)
    for row in range(n):
        targets, loss_change, raised_ids, raised, lowered_ids, lowered = (
            column[bounds[row] : bounds[row + 1]] for column in columns
        )
        yield ContextEffect(
            positions=(targets - row * length).astype(np.uint16),
            loss_change=loss_change.astype(np.float32),
            raised_ids=raised_ids.astype(np.int32),
            raised=raised.astype(np.float32),
            lowered_ids=lowered_ids.astype(np.int32),
            lowered=lowered.astype(np.float32),
        )
