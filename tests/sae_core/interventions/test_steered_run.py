"""Texts that grow with keys and values kept: what a pass over the whole text gives."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from sae_core.interventions import steered_run
from sae_core.interventions.steered_run import SteeredRun, tokens_at_once
from sae_core.interventions.steering import FeatureEdit, Mode, Steering
from sae_core.language_model.model import LanguageModel, load_model
from tests.sae_core.tiny_dictionaries import random_dictionary
from tests.sae_core.tiny_models import save_folder, tiny_bloom, tiny_gemma2, tiny_neox


def sliding() -> PreTrainedModel:
    """Every other layer attends to six tokens only."""
    model = tiny_gemma2()
    model.config.sliding_window = 6
    return model


OTHERS: dict[str, Callable[[], PreTrainedModel]] = {
    "gemma2": tiny_gemma2,
    "sliding": sliding,
    "neox": tiny_neox,
    "bloom": tiny_bloom,
}


@pytest.fixture(scope="module", params=["gpt2", "llama", *OTHERS])
def model(request: Any, tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    if request.param in OTHERS:
        folder: Path = tmp_path_factory.mktemp(request.param)
        return load_model(save_folder(OTHERS[request.param](), folder))
    return request.getfixturevalue(request.param)


def edits(model: LanguageModel, mode: Mode) -> list[FeatureEdit]:
    """In the first and in the last block: attention stands above one and below the other."""
    points = [model.hook_point("blocks.0.hook_mlp_out")]
    points.append(model.hook_point(f"blocks.{model.n_layers - 1}.mlp.hook_post"))
    return [FeatureEdit(random_dictionary(p.name, p.d_in), 3, mode, 2.5, 1.5) for p in points]


def whole_pass(steering: Steering, tokens: Tensor) -> Tensor:
    with steering.applied(tokens.tolist(), 0):
        return steering.model.final_hidden(tokens)


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("begin", [0, 9])
def test_pieces_give_what_the_whole_gives(
    model: LanguageModel, tokens: Tensor, mode: Mode, begin: int
) -> None:
    steering = Steering(model, [(), edits(model, mode), edits(model, mode)[:1]], begin)
    tokens = tokens.clone()
    tokens[1, 4] = tokens[2, 11] = 0
    wanted = whole_pass(steering, tokens)
    points = [
        model.hook_point("blocks.0.hook_mlp_out"),
        model.hook_point("blocks.1.hook_resid_pre"),
    ]
    for cached in (True, False):
        run = SteeredRun(steering, cached)
        fed = [run.feed(piece, points) for piece in torch.split(tokens, [7, 1, 1, 5, 6], dim=1)]
        assert run.length == 20
        torch.testing.assert_close(torch.cat([f.hidden for f in fed], 1), wanted)
        whole = SteeredRun(steering).feed(tokens, points).x
        for point in points:
            torch.testing.assert_close(torch.cat([f.x[point] for f in fed], 1), whole[point])


def test_a_step_is_one_more_token(model: LanguageModel, tokens: Tensor) -> None:
    steering = Steering(model, [(), edits(model, Mode.SCALE), edits(model, Mode.ADD)])
    for cached in (True, False):
        run = SteeredRun(steering, cached)
        first = run.next_logits(run.feed(tokens[:, :18]).hidden[:, -1])
        steps = [first, run.step(tokens[:, 18].tolist()), run.step(tokens[:, 19].tolist())]
        wanted = whole_pass(steering, tokens)
        for logits, position in zip(steps, (17, 18, 19), strict=True):
            torch.testing.assert_close(
                logits, model.head(wanted[:, position]), rtol=1e-4, atol=1e-4
            )


def test_a_fork_goes_on_alone(model: LanguageModel, tokens: Tensor) -> None:
    """Its past is the unsteered text; the run it came from does not notice."""
    plain = SteeredRun(Steering(model, [()]))
    plain.feed(tokens[:1, :9])
    fork = plain.forked(Steering(model, [(), *([e] for e in edits(model, Mode.ADD))], begin=9))
    rows = tokens[:1].expand(3, -1)
    found = fork.feed(rows[:, 9:]).hidden
    torch.testing.assert_close(found, whole_pass(fork.steering, rows)[:, 9:])
    rest = plain.feed(tokens[:1, 9:]).hidden
    torch.testing.assert_close(rest, model.final_hidden(tokens[:1])[:, 9:])
    unfed = SteeredRun(plain.steering).forked(fork.steering)
    torch.testing.assert_close(unfed.feed(rows).hidden[:, 9:], found)


def test_watched_activations_are_those_after_the_edits(
    llama: LanguageModel, tokens: Tensor
) -> None:
    edit = edits(llama, Mode.ADD)[0]
    point = llama.hook_point(edit.dictionary.hook_point)
    run = SteeredRun(Steering(llama, [(), (edit,), ()]))
    x = run.feed(tokens, [point]).x[point]
    clean = llama.capture(tokens, point)
    assert torch.equal(x[[0, 2]], clean[[0, 2]])
    written = 3.75 * edit.dictionary.decoder_row(3)
    torch.testing.assert_close(x[1, 1:], clean[1, 1:] + written)
    assert torch.equal(x[1, 0], clean[1, 0])


def test_a_model_that_cannot_grow_runs_from_the_start(
    gpt2_folder: Path, tokens: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load_model(gpt2_folder)
    final_hidden = model.final_hidden
    asked: list[Any] = []

    def without_past(ids: Tensor, past: Any = None) -> Tensor:
        asked.append(past)
        return final_hidden(ids)

    monkeypatch.setattr(model, "final_hidden", without_past)
    steering = Steering(model, [(), (), edits(model, Mode.ADD)])
    run = SteeredRun(steering)
    asked.clear()
    pieces = [run.feed(tokens[:, :12]).hidden, run.feed(tokens[:, 12:]).hidden]
    assert asked == [None, None]
    monkeypatch.undo()
    torch.testing.assert_close(torch.cat(pieces, 1), whole_pass(steering, tokens))


def test_pieces_are_cut_by_the_model_not_by_the_clock(
    gpt2: LanguageModel, tokens: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steered_run, "_MOST_TOKENS", 12)
    assert tokens_at_once(gpt2) == 12
    run = SteeredRun(Steering(gpt2, [()] * 3))
    lengths = [fed.hidden.shape[1] for fed in run.feed_in_pieces(tokens)]
    assert lengths == [4] * 5
    monkeypatch.setattr(steered_run, "_MOST_TOKENS", 512)
    assert tokens_at_once(gpt2) == 512
    monkeypatch.setattr(steered_run, "_PIECE_FLOPS", 1.0)
    assert tokens_at_once(gpt2) == steered_run._LEAST_TOKENS


def test_unsteered_rows_are_the_same_bit_for_bit(llama: LanguageModel, tokens: Tensor) -> None:
    """Whatever stands in the batch beside them."""
    rows = tokens[:1].expand(3, -1)
    found = []
    for beside in ((), edits(llama, Mode.ADD), edits(llama, Mode.CLAMP)):
        run = SteeredRun(Steering(llama, [(), beside, ()]))
        logits = run.next_logits(run.feed(rows[:, :9]).hidden[:, -1])
        assert torch.equal(logits[0], logits[2])
        found.append([logits[0], run.step(rows[:, 9].tolist())[0]])
    assert all(torch.equal(a, b) for other in found for a, b in zip(other, found[0], strict=True))


def test_runs_take_turns_without_a_hook_left(gpt2: LanguageModel, tokens: Tensor) -> None:
    one, other = edits(gpt2, Mode.ADD)
    steerings = [Steering(gpt2, [(one,)]), Steering(gpt2, [(other,)]), Steering(gpt2, [()])]
    runs = [SteeredRun(steering) for steering in steerings]
    hidden: list[list[Tensor]] = [[], [], []]
    for piece in torch.split(tokens[:1], 4, dim=1):
        for run, kept in zip(runs, hidden, strict=True):
            kept.append(run.feed(piece).hidden)
            modules = list(gpt2.module.modules())
            assert not any(m._forward_hooks or m._forward_pre_hooks for m in modules)
    for steering, kept in zip(steerings, hidden, strict=True):
        torch.testing.assert_close(torch.cat(kept, 1), whole_pass(steering, tokens[:1]))
