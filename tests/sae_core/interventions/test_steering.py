"""Every mode of steering against hooks written by hand, in float64."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from sae_core.dictionaries.architectures.standard import StandardDictionary
from sae_core.dictionaries.dictionary import Dictionary
from sae_core.errors import HookPointError, PromptError, SteeringError
from sae_core.interventions.steering import FeatureEdit, Mode, Steering
from sae_core.language_model.model import LanguageModel, load_model
from tests.sae_core.interventions.steered_reference import HandEdit, busiest, steered_pass
from tests.sae_core.interventions.test_ablation import KINDS
from tests.sae_core.tiny_dictionaries import random_dictionary

TOKENS = [0, 17, 40, 0, 99, 250, 31, 64]
HOOK = "blocks.1.mlp.hook_post"


@pytest.fixture(scope="module")
def gpt2_double(gpt2: LanguageModel) -> LanguageModel:
    return load_model(gpt2.path, dtype="float64")


@pytest.fixture(scope="module")
def llama_double(llama: LanguageModel) -> LanguageModel:
    return load_model(llama.path, dtype="float64")


def double(dictionary: Dictionary) -> Dictionary:
    return copy.deepcopy(dictionary).double()


def hand(edit: FeatureEdit) -> HandEdit:
    return HandEdit(edit.dictionary, edit.feature, edit.mode, edit.strength, edit.maximum)


def steered_logits(
    model: LanguageModel, rows: Sequence[Sequence[FeatureEdit]], begin: int = 0
) -> Tensor:
    """Logits [rows, pos, d_vocab] of TOKENS in every row."""
    ids = [TOKENS] * len(rows)
    with Steering(model, rows, begin).applied(ids, 0):
        return model.logits(torch.tensor(ids))


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_every_mode_is_the_hand_written_hook(
    architecture: str, kind: str, mode: Mode, request: Any
) -> None:
    model: LanguageModel = request.getfixturevalue(f"{architecture}_double")
    point = model.hook_point(f"blocks.1.{kind}")
    # The library's own norm of a Llama computes in float32 whatever the model's dtype.
    tolerance = 1e-9 if architecture == "gpt2" else 1e-3
    for made in ("standard", "topk", "neurons"):
        dictionary = double(random_dictionary(point.name, point.d_in, architecture=made))
        for strength in (-1.5, 0.5, 3.0):
            edit = FeatureEdit(dictionary, 3, mode, strength, 2.0)
            _, steered = steered_logits(model, [(), (edit,)])
            wanted, _ = steered_pass(model, TOKENS, [hand(edit)])
            torch.testing.assert_close(steered, wanted, rtol=0, atol=tolerance)
            begun = steered_logits(model, [(edit,)], begin=5)[0]
            wanted, _ = steered_pass(model, TOKENS, [hand(edit)], begin=5)
            torch.testing.assert_close(begun, wanted, rtol=0, atol=tolerance)


def test_several_edits_add_up(gpt2_double: LanguageModel) -> None:
    """At one hook point all read the x that arrives; at a later one, what the earlier left."""
    one, other = (
        double(random_dictionary(HOOK, 48, architecture=made)) for made in ("topk", "standard")
    )
    early = double(random_dictionary("blocks.0.hook_resid_mid", 32))
    late = double(random_dictionary("blocks.2.attn.hook_z", 32))
    edits = [
        FeatureEdit(one, 1, Mode.CLAMP, 1.0, 3.0),
        FeatureEdit(late, 2, Mode.SCALE, 4.0, 1.0),
        FeatureEdit(one, 2, Mode.ADD, -2.0, 1.5),
        FeatureEdit(other, 1, Mode.SCALE, 0.0, 1.0),
        FeatureEdit(early, 7, Mode.CLAMP, 2.0, 1.0),
        FeatureEdit(one, 1, Mode.ADD, 0.5, 3.0),
        FeatureEdit(one, 1, Mode.CLAMP, -1.0, 3.0),
    ]
    logits = steered_logits(gpt2_double, [edits[:3], (), edits])
    for row, these in enumerate([edits[:3], [], edits]):
        wanted, _ = steered_pass(gpt2_double, TOKENS, [hand(edit) for edit in these])
        torch.testing.assert_close(logits[row], wanted, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("mode", "strength", "maximum"),
    [
        (Mode.ADD, 0.0, 5.0),
        (Mode.SCALE, 1.0, 5.0),
        (Mode.ADD, 3.0, 0.0),
        (Mode.SCALE, 1.0, 0.0),
        (Mode.REMOVE, 0.0, 5.0),
    ],
)
def test_a_neutral_edit_is_no_edit(
    gpt2: LanguageModel, mode: Mode, strength: float, maximum: float
) -> None:
    edit = FeatureEdit(random_dictionary(HOOK, 48), 3, mode, strength, maximum)
    assert edit.is_neutral
    steering = Steering(gpt2, [[edit]])
    assert steering.rows == ((),)
    assert steering.plain == [0]
    with steering.applied([TOKENS], 0):
        assert not [m for m in gpt2.module.modules() if m._forward_hooks or m._forward_pre_hooks]
        assert torch.equal(gpt2.logits(torch.tensor([TOKENS])), gpt2.logits(torch.tensor([TOKENS])))


def test_a_cap_that_is_not_reached_changes_no_bit(gpt2: LanguageModel) -> None:
    edit = FeatureEdit(random_dictionary(HOOK, 48), 3, Mode.CAP, 1000.0, 50.0)
    assert not edit.is_neutral
    plain, capped = steered_logits(gpt2, [(), (edit,)])
    assert torch.equal(plain, capped)


@pytest.mark.parametrize("kind", KINDS)
def test_a_removed_direction_is_gone_and_a_capped_one_is_bounded(
    gpt2_double: LanguageModel, kind: str
) -> None:
    point = gpt2_double.hook_point(f"blocks.1.{kind}")
    dictionary = double(random_dictionary(point.name, point.d_in))
    unit = dictionary.decoder_rows[3] / dictionary.decoder_rows[3].norm()
    x = gpt2_double.capture(torch.tensor([TOKENS]), point)[0]
    bound = float((x @ unit).median())
    strength = bound / float(dictionary.decoder_rows[3].norm())
    for mode, given in ((Mode.REMOVE, 1.0), (Mode.CAP, strength)):
        edit = FeatureEdit(dictionary, 3, mode, given, 1.0)
        with Steering(gpt2_double, [(edit,)]).applied([TOKENS], 0):
            new = gpt2_double.capture(torch.tensor([TOKENS]), point)[0]
        edited = torch.tensor([token != 0 for token in TOKENS])
        along = (new @ unit)[edited]
        if mode is Mode.REMOVE:
            torch.testing.assert_close(along, torch.zeros_like(along), rtol=0, atol=1e-10)
        else:
            assert bool((along <= bound + 1e-10).all())
            torch.testing.assert_close(along, (x @ unit)[edited].clamp(max=bound))
        rest = new - (new @ unit)[:, None] * unit
        torch.testing.assert_close(rest, x - (x @ unit)[:, None] * unit)


def test_spared_positions_are_not_edited(gpt2: LanguageModel) -> None:
    edit = FeatureEdit(random_dictionary(HOOK, 48), 3, Mode.ADD, 4.0, 5.0)
    point = gpt2.hook_point(HOOK)
    tokens = torch.tensor([TOKENS])
    plain = gpt2.capture(tokens, point)[0]
    with Steering(gpt2, [(edit,)], 1, frozenset({2, 5})).applied([TOKENS], 0):
        changed = (gpt2.capture(tokens, point)[0] != plain).any(dim=1)
    assert changed.tolist() == [n in (1, 4, 6, 7) for n in range(8)]


def test_clamp_at_zero_is_no_neutral_edit() -> None:
    edit = FeatureEdit(random_dictionary(HOOK, 48), 3, Mode.CLAMP, 0.0, 2.0)
    assert not edit.is_neutral


def test_a_feature_that_never_fired_can_still_fire_and_be_edited(gpt2: LanguageModel) -> None:
    """With a maximum of 0 clamp is ablation whatever the strength, and scale is what it is."""
    dictionary = random_dictionary(HOOK, 48)
    feature = busiest(gpt2, dictionary, TOKENS)

    def logits(mode: Mode, strength: float, maximum: float) -> torch.Tensor:
        return steered_logits(gpt2, [[FeatureEdit(dictionary, feature, mode, strength, maximum)]])

    ablated = logits(Mode.CLAMP, 0.0, 2.0)
    assert not torch.equal(ablated, logits(Mode.ADD, 0.0, 2.0))
    assert torch.equal(logits(Mode.CLAMP, 3.0, 0.0), ablated)
    assert torch.equal(logits(Mode.SCALE, 3.0, 0.0), logits(Mode.SCALE, 3.0, 2.0))
    assert torch.equal(logits(Mode.ADD, 3.0, 0.0), logits(Mode.ADD, 0.0, 2.0))


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_edited_is_the_same_byte_for_byte(gpt2: LanguageModel, kind: str) -> None:
    """Other rows, special tokens, and positions before the first: at the hook point itself."""
    point = gpt2.hook_point(f"blocks.1.{kind}")
    edit = FeatureEdit(random_dictionary(point.name, point.d_in), 3, Mode.ADD, 2.0, 3.0)
    ids = [TOKENS, TOKENS]
    clean = gpt2.capture(torch.tensor(ids), point).clone()
    with Steering(gpt2, [(), (edit,)], begin=2).applied(ids, 0):
        x = gpt2.capture(torch.tensor(ids), point)
    edited = torch.zeros(x.shape[:2], dtype=torch.bool)
    edited[1, [2, 4, 5, 6, 7]] = True  # 0 and 3 are end-of-text
    assert x[~edited].numpy().tobytes() == clean[~edited].numpy().tobytes()
    wanted = clean + 6.0 * edit.dictionary.decoder_row(3)
    torch.testing.assert_close(x[edited], wanted[edited])


def test_positions_count_from_the_beginning_of_the_text(gpt2: LanguageModel) -> None:
    point = gpt2.hook_point(HOOK)
    edit = FeatureEdit(random_dictionary(HOOK, 48), 3, Mode.ADD, 2.0, 3.0)
    steering = Steering(gpt2, [(edit,)], begin=6)
    for position, edited in ((0, []), (3, [3]), (6, [0, 1, 2, 3]), (40, [0, 1, 2, 3])):
        ids = torch.tensor([[5, 6, 7, 8]])
        clean = gpt2.capture(ids, point)[0]
        with steering.applied(ids.tolist(), position):
            x = gpt2.capture(ids, point)[0]
        assert (x != clean).any(-1).nonzero()[:, 0].tolist() == edited


@pytest.mark.parametrize("strength", [0.0, 0.5, 4.0])
def test_a_clamped_neuron_reads_the_clamped_value(
    relu_model: LanguageModel, strength: float
) -> None:
    """Behind a ReLU no neuron is negative: each reads what it is clamped to, everywhere."""
    point = relu_model.hook_point("blocks.0.mlp.hook_post")
    dictionary = random_dictionary(point.name, 48, architecture="neurons")
    for feature in range(0, 48, 5):
        edit = FeatureEdit(dictionary, feature, Mode.CLAMP, strength, 2.0)
        with Steering(relu_model, [(edit,)]).applied([TOKENS], 0):
            x = relu_model.capture(torch.tensor([TOKENS]), point)[0]
        reads = dictionary.encode_feature(x, feature)[[1, 2, 4, 5, 6, 7]]
        torch.testing.assert_close(reads, torch.full((6,), 2.0 * strength), atol=2e-6, rtol=0)


def test_a_clamped_feature_reads_the_clamped_value_where_it_fires(gpt2: LanguageModel) -> None:
    """Features that read exactly what their directions write. Where one is silent its encoder is
    below zero by an amount that it does not tell, and the clamped value falls short by that."""
    dictionary = StandardDictionary(HOOK, 48, 48).requires_grad_(False)
    basis = torch.linalg.qr(torch.randn(48, 48, generator=torch.Generator().manual_seed(0))).Q
    dictionary.W_dec.copy_(basis)
    dictionary.W_enc.copy_(basis.T)
    point, real = gpt2.hook_point(HOOK), [1, 2, 4, 5, 6, 7]
    clean = gpt2.capture(torch.tensor([TOKENS]), point)[0, real]
    pre = dictionary.pre_activations(clean)
    assert 20 < (pre > 0).sum() < pre.numel() - 20
    for feature in range(48):
        edit = FeatureEdit(dictionary, feature, Mode.CLAMP, 3.0, 2.0)
        with Steering(gpt2, [(edit,)]).applied([TOKENS], 0):
            x = gpt2.capture(torch.tensor([TOKENS]), point)[0, real]
        wanted = torch.relu(6.0 + pre[:, feature].clamp_max(0))
        torch.testing.assert_close(dictionary.encode_feature(x, feature), wanted, atol=2e-5, rtol=0)


def test_clamping_at_zero_is_ablation(gpt2: LanguageModel) -> None:
    """Where a feature is silent nothing happens, where it fires x - a_f d_f is left."""
    dictionary = random_dictionary(HOOK, 48)
    point = gpt2.hook_point(HOOK)
    x = gpt2.capture(torch.tensor([TOKENS]), point)
    feature = int(dictionary.encode(x)[0, [1, 2, 4]].amin(0).argmax())
    acts = dictionary.encode_feature(x, feature)
    acts[0, [0, 3]] = 0
    edit = FeatureEdit(dictionary, feature, Mode.CLAMP, 0.0, 9.0)
    with Steering(gpt2, [(edit,)]).applied([TOKENS], 0):
        found = gpt2.capture(torch.tensor([TOKENS]), point)
    assert acts.count_nonzero() >= 3
    torch.testing.assert_close(found, x - acts[..., None] * dictionary.decoder_row(feature))


def test_an_edit_that_cannot_be_is_refused(gpt2: LanguageModel) -> None:
    dictionary = random_dictionary(HOOK, 48)
    with pytest.raises(PromptError, match=r"no feature 24: .* 24 features, 0 to 23"):
        FeatureEdit(dictionary, 24, Mode.ADD, 1.0, 1.0)
    for strength, maximum in ((1000.0, 1e306), (math.nan, 1.0), (1.0, math.inf)):
        with pytest.raises(SteeringError, match="no finite number"):
            FeatureEdit(dictionary, 3, Mode.ADD, strength, maximum)
    wide = FeatureEdit(random_dictionary(HOOK, 7), 3, Mode.ADD, 1.0, 1.0)
    with pytest.raises(HookPointError, match=r"width 7.*width 48"):
        Steering(gpt2, [[wide]])
    nowhere = random_dictionary("blocks.9.mlp.hook_post", 48)
    with pytest.raises(HookPointError, match="does not exist"):
        Steering(gpt2, [[FeatureEdit(nowhere, 3, Mode.ADD, 1, 1)]])
