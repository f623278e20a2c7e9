"""Every figure of a thorough evaluation against float64 arithmetic written out window by window."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from sae_core.dictionaries.dictionary import Dictionary
from sae_core.errors import HarvestError
from sae_core.evaluation import evaluation
from sae_core.evaluation import sums as evaluation_sums
from sae_core.evaluation.evaluation import evaluate
from sae_core.evaluation.figures import Evaluation
from sae_core.harvest.sampling import band_edges
from sae_core.language_model.model import LanguageModel
from sae_core.text.corpus import open_corpus
from sae_core.text.tokenized import Windows, tokenize
from tests.sae_core.language_model.double_models import double
from tests.sae_core.tiny_dictionaries import random_dictionary

N_CTX = 20


@pytest.fixture(scope="module")
def windows(tmp_path_factory: pytest.TempPathFactory, gpt2: LanguageModel) -> Windows:
    folder = tmp_path_factory.mktemp("texts")
    for n in range(9):
        text = f"text {n} " + "def fox(dog): jumps over\n" * (n % 4 + 1)
        (folder / f"{n}.txt").write_text(text)
    corpus = tokenize(open_corpus(str(folder)), gpt2.tokenizer, folder / "cache")
    return Windows(corpus, N_CTX, gpt2.vocabulary.bos)


@dataclass(frozen=True)
class ByHand:
    """One number, or one row, for each text token, in order of windows."""

    documents: np.ndarray
    positions: np.ndarray
    error: np.ndarray
    deviation: np.ndarray
    acts: np.ndarray
    losses: dict[str, np.ndarray]

    def ratio(self, name: str, weights: np.ndarray | None = None) -> float:
        w = np.ones(len(self.documents)) if weights is None else weights
        return float((w * self.losses[name]).sum() / w.sum())


def _by_hand(model: LanguageModel, dictionary: Dictionary, windows: Windows) -> ByHand:
    """All figures' parts, one window after another, from the plain definitions."""
    point = model.hook_point(dictionary.hook_point)
    rows, numbers, xs = [], range(len(windows)), []
    for number in numbers:
        tokens, mask = windows.gather(np.array([number]))
        rows.append(torch.from_numpy(tokens[:, : 1 + int(mask.sum())]))
        xs.append(model.capture(rows[-1], point)[0, 1:].double())
    x = torch.cat(xs)
    mean = x.mean(0)
    acts = dictionary.encode(x)
    maxima = acts.max(dim=0).values

    def kept(lowest: int) -> Tensor:
        edges = [np.append(band_edges(float(m))[:-1], np.inf) for m in maxima.float()]
        floor = torch.tensor([edge[lowest] for edge in edges])
        return dictionary.decode(torch.where(acts.float().double() > floor, acts, 0.0), x)

    hats = {f"band {b}": kept(b) for b in range(12)}
    replacements = {
        "l_clean": x,
        "l_recon": dictionary.decode(acts, x),
        "l_zero": torch.zeros_like(x),
        "l_mean": mean.expand_as(x),
        **hats,
    }
    log_p = {
        name: _log_probabilities(model, point, rows, torch.split(value, [len(i) for i in xs]))
        for name, value in replacements.items()
    }
    tokens = torch.cat([row[0, 1:] for row in rows])
    losses = {n: -p.gather(-1, tokens[:, None])[:, 0].numpy() for n, p in log_p.items()}
    clean, recon = log_p["l_clean"], log_p["l_recon"]
    losses["kl"] = (clean.exp() * (clean - recon)).sum(-1).numpy()
    lengths = [len(one) for one in xs]
    return ByHand(
        documents=np.repeat(windows.document_of(np.array(numbers)), lengths),
        positions=np.concatenate([np.arange(1, n + 1) for n in lengths]),
        error=(x - replacements["l_recon"]).square().sum(-1).numpy(),
        deviation=(x - mean).square().sum(-1).numpy(),
        acts=acts.numpy(),
        losses=losses,
    )


def _log_probabilities(
    model: LanguageModel, point: object, rows: list[Tensor], values: tuple[Tensor, ...]
) -> Tensor:
    found = []
    for row, value in zip(rows, values, strict=True):

        def exchange(x: Tensor, value: Tensor = value) -> Tensor:
            return torch.cat([x[:, :1], value[None].to(x.dtype)], dim=1)

        with model.replaced(point, exchange):  # type: ignore[arg-type]
            found.append(model.logits(row)[0, :-1].double().log_softmax(-1))
    return torch.cat(found)


CASES = [
    ("blocks.1.mlp.hook_post", "topk"),
    ("blocks.2.hook_resid_post", "standard"),
    ("blocks.0.attn.hook_z", "neurons"),
]


@pytest.fixture(scope="module", params=CASES, ids=lambda case: case[1])
def both(
    request: pytest.FixtureRequest, gpt2: LanguageModel, windows: Windows
) -> tuple[Evaluation, ByHand]:
    hook, architecture = request.param
    model = double(gpt2)
    width = model.hook_point(hook).d_in
    dictionary = random_dictionary(hook, width, architecture=architecture).double()
    numbers = np.random.default_rng(0).permutation(len(windows)).astype(np.int64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluation, "BATCH_WINDOWS", 4)
        found = evaluate(model, dictionary, windows, numbers, thorough=True)
    return found, _by_hand(model, dictionary, windows)


def test_losses_and_divergence(both: tuple[Evaluation, ByHand]) -> None:
    found, hand = both
    for name in ("l_clean", "l_recon", "l_zero", "l_mean", "kl"):
        assert getattr(found, name) == pytest.approx(hand.ratio(name), rel=1e-5, abs=1e-7), name
    assert found.kl > 0
    extra = hand.ratio("l_recon") - hand.ratio("l_clean")
    figures = found.scalars()
    assert figures["extra_loss"] == pytest.approx(extra, abs=1e-6)
    share = extra / (hand.ratio("l_zero") - hand.ratio("l_clean"))
    assert figures["extra_loss_fraction"] == pytest.approx(share, rel=1e-4)
    assert figures["loss_recovered"] == pytest.approx(1 - share, rel=1e-4)


def test_fit_overall_and_by_position(both: tuple[Evaluation, ByHand]) -> None:
    found, hand = both
    assert found.n_tokens == found.n_targets == len(hand.error)
    assert found.n_documents == 9
    assert found.fvu == pytest.approx(hand.error.sum() / hand.deviation.sum(), rel=1e-6)
    positions = found.details.positions
    assert positions.starts == tuple(range(1, N_CTX))
    for at, fvu, n in zip(positions.starts, positions.fvu, positions.n_tokens, strict=True):
        here = hand.positions == at
        assert n == here.sum()
        assert fvu == pytest.approx(hand.error[here].sum() / hand.deviation[here].sum(), rel=1e-6)


def test_active_features_and_densities(both: tuple[Evaluation, ByHand]) -> None:
    found, hand = both
    fires = hand.acts > 0
    active = fires.sum(axis=1)
    assert found.l0 == pytest.approx(active.mean())
    assert found.details.active.width == 1
    assert list(found.details.active.counts.counts) == np.bincount(active).tolist()
    quantiles = np.quantile(active, (0.05, 0.25, 0.5, 0.75, 0.95), method="inverted_cdf")
    assert found.details.active.quantiles == tuple(quantiles)
    densities = fires.mean(axis=0)
    assert found.dead_share == pytest.approx((densities == 0).mean())
    assert found.details.densities.dead == (densities == 0).sum()
    histogram = found.details.densities.counts
    edges = np.linspace(histogram.low, histogram.high, len(histogram.counts) + 1)
    alive = np.log10(densities[densities > 0])
    assert list(histogram.counts) == np.histogram(alive, edges)[0].tolist()
    assert np.diff(edges) == pytest.approx(0.25)


def test_bands(both: tuple[Evaluation, ByHand]) -> None:
    found, hand = both
    assert found.details.bands is not None
    losses = [hand.ratio(f"band {b}") for b in range(12)]
    assert found.details.bands.losses == pytest.approx(losses, rel=1e-5)
    assert found.details.bands.losses[0] == pytest.approx(found.l_recon, rel=1e-12)
    assert sum(s for s in found.details.bands.shares if s) == pytest.approx(1.0)
    shares = np.diff(losses) / (losses[-1] - losses[0])
    assert found.details.bands.shares == pytest.approx(shares, abs=1e-4)
    assert sum(found.details.bands.firings) == (hand.acts > 0).sum()
    assert sum(found.details.bands.activation) == pytest.approx(1.0)
    weakest = (hand.acts > 0) & (hand.acts <= hand.acts.max(axis=0) / 11)
    assert found.details.bands.firings[0] == pytest.approx(weakest.sum(), abs=1)


def test_intervals_are_the_jackknife_s_over_documents(both: tuple[Evaluation, ByHand]) -> None:
    """Each document is left out, and every figure computed by hand again."""
    found, hand = both
    assert found.details.bands is not None
    assert found.details.interval_method == "jackknife"
    names = ("l0", "fvu", "l_recon", "kl", "extra_loss_fraction_mean", "band 0", "position 7")
    used = ("l_clean", "l_recon", "l_mean", "kl", "band 0", "band 1", "band 11")

    def figures(weights: np.ndarray) -> np.ndarray:
        w = weights[hand.documents]
        seventh = w * (hand.positions == 7)
        loss = {name: hand.ratio(name, w) for name in used}
        return np.array(
            [
                (w * (hand.acts > 0).sum(axis=1)).sum() / w.sum(),
                (w * hand.error).sum() / (w * hand.deviation).sum(),
                loss["l_recon"],
                loss["kl"],
                (loss["l_recon"] - loss["l_clean"]) / (loss["l_mean"] - loss["l_clean"]),
                (loss["band 1"] - loss["band 0"]) / (loss["band 11"] - loss["band 0"]),
                (seventh * hand.error).sum() / (seventh * hand.deviation).sum(),
            ]
        )

    changes = np.array([figures(1 - one) for one in np.eye(9)]) - figures(np.ones(9))
    squares = (changes**2).sum(axis=0)
    # Every token of a TopK dictionary has the same L0: no document moves it.
    fourths = np.maximum((changes**4).sum(axis=0), 1e-300)
    freedom = np.clip(squares**2 / fourths, 1, 8)
    reach = stats.t.ppf(0.975, freedom) * np.sqrt(8 / 9 * squares)
    expected = np.stack([figures(np.ones(9)) - reach, figures(np.ones(9)) + reach], axis=1)
    bounded = [name in ("l0", "fvu", "l_recon", "kl", "position 7") for name in names]
    expected[bounded] = np.maximum(expected[bounded], 0.0)
    intervals = dict(found.details.intervals)
    assert intervals.keys() >= {"l_clean", "l_zero", "l_mean", "extra_loss", "loss_recovered"}
    known = [intervals[name] for name in names[:5]]
    known += [found.details.bands.intervals[0], found.details.positions.intervals[6]]  # type: ignore[list-item]
    for name, interval, wanted in zip(names, known, expected, strict=True):
        assert interval == pytest.approx(wanted, rel=1e-3, abs=1e-5), name


def test_a_plain_evaluation_has_the_same_figures_and_no_more(
    gpt2: LanguageModel, windows: Windows
) -> None:
    dictionary = random_dictionary("blocks.1.mlp.hook_post", 48, architecture="topk")
    numbers = np.arange(len(windows), dtype=np.int64)
    done: list[int] = []
    plain = evaluate(gpt2, dictionary, windows, numbers, done.append)
    whole = evaluate(gpt2, dictionary, windows, numbers, thorough=True)
    assert done[-1] == len(numbers)
    assert (plain.details.bands, plain.details.decoder) == (None, None)
    assert whole.details.bands is not None
    assert whole.details.decoder is not None
    assert plain.scalars() == whole.scalars()
    assert plain.details.intervals == whole.details.intervals
    details = whole.figures()["details"]
    assert len(details["bands"]["shares"]) == 11
    assert sum(details["decoder"]["cosines"]["counts"]) == 24 * 23 // 2
    assert plain.figures() | {"details": None} == whole.figures() | {"details": None}


def test_positions_of_long_windows_are_grouped(
    gpt2: LanguageModel, windows: Windows, monkeypatch: pytest.MonkeyPatch
) -> None:
    dictionary = random_dictionary("blocks.1.mlp.hook_post", 48)
    numbers = np.arange(len(windows), dtype=np.int64)
    single = evaluate(gpt2, dictionary, windows, numbers).details.positions
    monkeypatch.setattr(evaluation_sums, "MOST_POSITIONS", 7)
    grouped = evaluate(gpt2, dictionary, windows, numbers).details.positions
    assert (grouped.width, grouped.starts) == (3, (0, 3, 6, 9, 12, 15, 18))
    assert sum(grouped.n_tokens) == sum(single.n_tokens)
    assert grouped.n_tokens[0] == sum(single.n_tokens[:2])


def test_one_document_has_figures_without_intervals(gpt2: LanguageModel, windows: Windows) -> None:
    dictionary = random_dictionary("blocks.1.mlp.hook_post", 48)
    found = evaluate(gpt2, dictionary, windows, np.array([3]), thorough=True)
    assert found.n_documents == 1
    assert found.details.intervals == {}
    assert set(found.details.positions.intervals) == {None}
    assert found.details.bands is not None
    assert set(found.details.bands.intervals) == {None}


def test_no_text_is_a_sentence(gpt2: LanguageModel, windows: Windows) -> None:
    dictionary = random_dictionary("blocks.1.mlp.hook_post", 48)
    with pytest.raises(HarvestError, match="0 tokens are too few to evaluate on"):
        evaluate(gpt2, dictionary, windows, np.zeros(0, dtype=np.int64))


def test_figures_that_are_no_numbers_are_a_sentence(gpt2: LanguageModel, windows: Windows) -> None:
    dictionary = random_dictionary("blocks.1.mlp.hook_post", 48)
    dictionary.b_dec[0] = torch.nan
    with pytest.raises(HarvestError, match="fvu, l_recon, kl are no finite numbers on these 441"):
        evaluate(gpt2, dictionary, windows, np.arange(len(windows), dtype=np.int64))


def test_a_dictionary_that_never_fires_is_evaluated(gpt2: LanguageModel, windows: Windows) -> None:
    dictionary = random_dictionary("blocks.1.mlp.hook_post", 48)
    dictionary.b_enc.fill_(-1e6)
    numbers = np.arange(len(windows), dtype=np.int64)
    found = evaluate(gpt2, dictionary, windows, numbers, thorough=True)
    assert (found.l0, found.dead_share, found.details.bands) == (0.0, 1.0, None)
    assert sum(found.details.densities.counts.counts) == 0
    assert found.details.active.quantiles == (0,) * 5
