"""The plain part of YAML: keys at the margin, their values, lists of values."""

from __future__ import annotations

from pathlib import Path

import pytest

from sae_core.errors import CheckpointError
from sae_core.files.flat_yaml import flat_yaml, plain_value


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("a/b", "a/b"),
        ("'a: # b'  # said", "a: # b"),
        ('"1"', "1"),
        ("12", 12),
        ("1.5", 1.5),
        ("1e-2 # small", 0.01),
        ("true", True),
        ("null", None),
        ("hf://a/b?c=d#e", "hf://a/b?c=d#e"),
    ],
)
def test_plain_values(word: str, value: object) -> None:
    assert plain_value(word) == value
    assert type(plain_value(word)) is type(value)


def test_what_nests_is_passed_over(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(
        "# a set\nmodel_kind: transcoder_set\nd_model:\n  value: 3\n  desc: null\n"
        "transcoders:\n- 'a'\n  - b\nk: 7\n- lost\n&x: *y\n"
    )
    assert flat_yaml(file) == {
        "model_kind": "transcoder_set", "d_model": [], "transcoders": ["a", "b"], "k": 7,
    }  # fmt: skip
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CheckpointError, match=r"config\.yaml cannot be read"):
        flat_yaml(file)
