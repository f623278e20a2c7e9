"""Names of hook points, and the table of known architectures."""

from __future__ import annotations

import pytest

from sae_core.errors import HookPointError
from sae_core.language_model.hook_point import HookKind, attention_follows, parse_name


def test_every_kind_has_its_name() -> None:
    for kind in HookKind:
        assert parse_name(f"blocks.2.{kind}", 3) == (2, kind)


@pytest.mark.parametrize(
    "name",
    ["", "hook_embed", "blocks.0", "blocks.x.hook_resid_pre", "blocks.-1.hook_resid_pre",
     "blocks.0.mlp.hook_pre", "blocks.0.hook_resid_pre ", "ln_final.hook_normalized"],
)  # fmt: skip
def test_other_names_are_refused_with_the_choices(name: str) -> None:
    with pytest.raises(HookPointError, match=r"is no hook point.*mlp\.hook_post"):
        parse_name(name, 3)


def test_a_missing_layer_is_refused_with_those_there_are() -> None:
    with pytest.raises(HookPointError, match="blocks 0 to 2"):
        parse_name("blocks.3.hook_mlp_out", 3)
    with pytest.raises(HookPointError, match=r"one block, blocks\.0"):
        parse_name("blocks.1.hook_mlp_out", 1)


def test_only_the_last_blocks_tail_is_free_of_attention() -> None:
    free = [kind for kind in HookKind if not attention_follows(1, kind, 2)]
    assert free == [kind for kind in HookKind if kind is not HookKind.RESID_PRE]
    assert all(attention_follows(0, kind, 2) for kind in HookKind)
