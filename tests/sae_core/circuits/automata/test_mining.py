"""Steps between features: counted by brute force, planted ones found, shuffled ones not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from sae_core.circuits.automata.measure import OWN, TIMES
from sae_core.circuits.automata.mining import MiningSettings, Step, mine
from sae_core.circuits.automata.shapes import MOST, automata
from sae_core.circuits.automata.text import FiringText

D_SAE, D_VOCAB, WINDOW = 8, 12, 20
LOOSE = MiningSettings(
    support=1, documents=1, mechanism=1e-9, share=0.0, lift=0.0, beyond=0.0, corrected=1.0
)


def firing_text(fires: NDArray[np.bool_], tokens: NDArray[np.int64]) -> FiringText:
    windows = np.arange(len(tokens)) // WINDOW
    return FiringText(
        tokens=tokens,
        windows=windows,
        documents=windows // 2,
        bounds=np.concatenate([[0], np.cumsum(fires.sum(axis=1))]),
        features=np.nonzero(fires)[1],
    )


@pytest.fixture(scope="module")
def noise() -> tuple[NDArray[np.bool_], NDArray[np.int64], NDArray[np.int64]]:
    """What fires [n, d_sae], the tokens [n], and what is written [d_sae, 3]; all at random."""
    rng = np.random.default_rng(0)
    n = 120 * WINDOW
    written = np.stack([rng.permutation(D_VOCAB)[:3] for _ in range(D_SAE)])
    return rng.random((n, D_SAE)) < 0.15, rng.integers(0, D_VOCAB, n), written


def test_counts_equal_brute_force(
    noise: tuple[NDArray[np.bool_], NDArray[np.int64], NDArray[np.int64]],
) -> None:
    fires, tokens, written = noise
    fires, tokens = fires[: 10 * WINDOW], tokens[: 10 * WINDOW]
    weights = np.tile([3.0, 2.0, -1.0], (D_SAE, 1))
    mined = mine(firing_text(fires, tokens), written, weights, LOOSE)
    steps = {(s.source, s.target): s for s in mined.steps}
    places = [t for t in range(len(tokens) - 1) if t % WINDOW != WINDOW - 1]
    for f in range(D_SAE):
        writes = set(written[f, :2].tolist())  # the third weight is not above 0
        own = [t for t in places if fires[t, f]]
        for g in range(D_SAE):
            happens = [tokens[t + 1] in writes and fires[t + 1, g] for t in places]
            support = sum(fires[t, f] and h for t, h in zip(places, happens, strict=True))
            if (f, g) not in steps:
                part = sum(
                    w
                    for v, w in zip(written[f], (3.0, 2.0), strict=False)
                    if fires[tokens == v, g].sum()
                    >= max(OWN, TIMES * fires[:, g].mean() * sum(tokens == v))
                )
                assert support < 1 or part == 0
                continue
            step = steps[f, g]
            expected = 0.0
            for t in own:
                alike = [h for u, h in zip(places, happens, strict=True) if tokens[u] == tokens[t]]
                expected += sum(alike) / len(alike)
            base = sum(fires[t + 1, g] for t in places) / len(places)
            assert (step.support, step.firings) == (support, len(own))
            assert step.share == pytest.approx(support / len(own), rel=1e-12)
            assert step.lift == pytest.approx(step.share / base, rel=1e-12)
            assert step.beyond == pytest.approx(support / expected, rel=1e-12)
            assert sum(times for _, times in step.tokens) == support


def test_noise_has_no_steps_and_a_planted_automaton_is_found(
    noise: tuple[NDArray[np.bool_], NDArray[np.int64], NDArray[np.int64]],
) -> None:
    fires, tokens, written = (part.copy() for part in noise)
    weights = np.ones(written.shape)
    settings = MiningSettings(support=20)
    assert mine(firing_text(fires, tokens), written, weights, settings).steps == ()
    # Feature 0 writes token 3, on which 1 fires after it; 1 writes 4, on which 0 fires again.
    written[0], written[1] = (3, 5, 6), (4, 5, 6)
    fires[:, :2] = False
    # The tokens stand elsewhere, too, or their bigrams would explain it all.
    rng = np.random.default_rng(1)
    tokens[:] = rng.choice([3, 4, 8, 9], len(tokens))
    for begin in range(0, len(tokens), 3 * WINDOW):
        for at in range(begin + 2, begin + 18, 2):
            fires[at, 0], fires[at + 1, 1] = True, True
            tokens[at], tokens[at + 1] = 4, 3
    mined = mine(firing_text(fires, tokens), written, weights, settings)
    assert {(s.source, s.target) for s in mined.steps} == {(0, 1), (1, 0)}
    (loop,) = automata(mined.steps)
    assert (loop.name, loop.recurrent, set(loop.features)) == ("0-1", True, {0, 1})
    # The same firings on shuffled places are none.
    shuffled = fires[rng.permutation(len(fires))]
    assert mine(firing_text(shuffled, tokens), written, weights, settings).steps == ()


def test_a_feature_of_one_token_is_no_more_than_its_bigrams() -> None:
    rng = np.random.default_rng(2)
    tokens = rng.integers(0, D_VOCAB, 100 * WINDOW)
    tokens[1::2] = np.where(rng.random(len(tokens) // 2) < 0.8, 1, tokens[1::2])
    fires = np.stack([tokens == 0, tokens == 1], axis=1)
    mined = mine(
        firing_text(fires, tokens),
        np.array([[1], [0]]),
        np.ones((2, 1)),
        replace(LOOSE, mechanism=0.3),
    )
    step = next(s for s in mined.steps if (s.source, s.target) == (0, 1))
    assert step.lift > 1.5
    assert step.beyond == pytest.approx(1.0)
    assert step.p == pytest.approx(0.5)


def test_automata_are_small_and_share_no_feature() -> None:
    def step(source: int, target: int, share: float) -> Step:
        return Step(
            source, target, 30, 10, 60, share, 0.1, 0.9, 0.01, share / 0.01, 1.0, 3.0, 0.0, 0.0, ()
        )

    steps = [step(n, n + 1, 0.9 - n / 100) for n in range(20)] + [step(15, 15, 0.2)]
    made = automata(steps)
    assert made == automata(steps[::-1])
    assert made[0].recurrent
    assert 15 in made[0].features
    assert all(2 <= len(a.features) <= MOST for a in made)
    features = [f for a in made for f in a.features]
    assert len(features) == len(set(features))
    assert automata([]) == ()


def test_what_is_held_out_chose_nothing(
    noise: tuple[NDArray[np.bool_], NDArray[np.int64], NDArray[np.int64]],
) -> None:
    fires, tokens, written = noise
    text = firing_text(fires | (tokens[:, None] == np.arange(D_SAE)), tokens)
    half, other = text.halves()
    assert not set(half.documents) & set(other.documents)
    assert len(np.unique(half.documents)) == len(np.unique(other.documents)) == 30
    assert len(half.features) + len(other.features) == len(text.features)
    weights = np.ones(written.shape)
    alone = mine(half, written, weights, LOOSE)
    mined = mine(half, written, weights, LOOSE, other)
    assert [replace(step, held=None) for step in mined.steps] == list(alone.steps)
    # The figures that are held out are those that mining the other half gives.
    others = {(s.source, s.target): s for s in mine(other, written, weights, LOOSE).steps}
    assert mined.held_documents == 30
    pairs = [s for s in mined.steps if (s.source, s.target) in others]
    compared = [(s.held, others[s.source, s.target]) for s in pairs]
    assert len(compared) > 10
    for held, own in compared:
        assert held is not None
        for name in ("support", "firings", "share", "lift", "mechanism", "beyond"):
            assert getattr(held, name) == getattr(own, name)
