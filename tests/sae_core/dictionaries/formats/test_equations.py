"""Every format against its own maths in float64: activations, reconstruction, all ways to ask."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sae_core.dictionaries.checkpoint import load_dictionary, save_dictionary
from sae_core.dictionaries.dictionary import Dictionary
from sae_core.dictionaries.formats.opening import Opened, open_dictionary
from tests.sae_core.dictionaries.formats.cases import CASES, HOOK, activations
from tests.sae_core.dictionaries.formats.writers import D_IN, Written

EXACT = 1e-12


def _opened(name: str, folder: Path) -> tuple[Opened, Written]:
    written = CASES[name][1](folder)
    return open_dictionary(written.path, hook_point=HOOK, dtype=torch.float64), written


@pytest.mark.parametrize("name", CASES)
def test_a_format_is_recognised_and_gives_its_own_activations(tmp_path: Path, name: str) -> None:
    opened, written = _opened(name, tmp_path)
    assert opened.format == CASES[name][0]
    dictionary, x = opened.dictionary, activations()
    expected = written.encode(x) * written.unit(x)
    assert 0.02 < float((expected > 0).double().mean()) < 0.9
    acts = dictionary.encode(x)
    assert float((acts - expected).abs().max()) < EXACT
    assert float((dictionary(x) - written.rebuild(x)).abs().max()) < EXACT
    assert (dictionary.hook_point, dictionary.d_in) == (HOOK, D_IN)
    assert dictionary.d_sae == written.d_sae


@pytest.mark.parametrize("name", CASES)
def test_every_way_to_ask_gives_the_same(tmp_path: Path, name: str) -> None:
    opened, written = _opened(name, tmp_path)
    dictionary, x = opened.dictionary, activations()
    acts = dictionary.encode(x)
    firings = dictionary.encode_sparse(x)
    rebuilt = torch.zeros_like(acts)
    rebuilt[firings.rows, firings.features] = firings.values.double()
    assert torch.allclose(rebuilt, acts, atol=1e-5)
    assert torch.equal(rebuilt > 0, acts > 0)
    for feature in (0, int(acts.sum(0).argmax())):
        assert torch.allclose(dictionary.encode_feature(x, feature), acts[:, feature], atol=EXACT)
    assert torch.allclose(dictionary.decode_sparse(firings, x), dictionary(x), atol=1e-4)
    assert torch.equal(dictionary.encode(x.view(3, 20, D_IN)), acts.view(3, 20, written.d_sae))
    # x_hat is a sum of decoder rows upon what it is without any, in the model's own units.
    whole = acts @ dictionary.decoder_rows + dictionary.offset(x)
    assert torch.allclose(whole, dictionary(x), atol=EXACT)
    some = torch.tensor([3, 0])
    assert torch.equal(dictionary.rows_of(some), dictionary.decoder_rows[some])
    assert torch.equal(dictionary.decoder_row(3), dictionary.decoder_rows[3])
    y = x[:, : dictionary.d_out]
    assert torch.allclose(dictionary.along_rows(y), y @ dictionary.decoder_rows.T)


@pytest.mark.parametrize("name", CASES)
def test_saved_as_our_own_it_stays_the_same(tmp_path: Path, name: str) -> None:
    dictionary, x = _opened(name, tmp_path)[0].dictionary, activations()
    save_dictionary(dictionary, tmp_path / "own", torch.float64)
    own = load_dictionary(tmp_path / "own", dtype=torch.float64)
    assert _kind(own) == _kind(dictionary)
    assert torch.equal(own(x), dictionary(x))
    assert torch.equal(own.encode(x), dictionary.encode(x))


def _kind(dictionary: Dictionary) -> tuple[str, str, str]:
    return type(dictionary).__name__, dictionary.architecture, dictionary.hook_point
