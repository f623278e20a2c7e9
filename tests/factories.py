"""Small, seeded, hostile records for tests: every branch of a page has something to show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from app.rendering.tokens import visible
from app.store.store import Store
from app.store.types.catalogue import CorpusRecord, DictionaryRecord, HarvestRecord, ModelRecord
from sae_core.harvest.kept_firings import KeptFirings, KeptText, packed_windows
from sae_core.harvest.records import (
    N_BANDS,
    N_HISTOGRAM,
    ContextEffect,
    ExampleGroup,
    Examples,
    FeatureRecord,
    GroupKind,
    Histogram,
    Landing,
    Ranking,
    WindowRecord,
)
from sae_core.language_model.vocabulary import Vocabulary
from sae_core.rules.predicate import Clause, FlagCondition, Predicate, TokenCondition
from sae_core.rules.record import NullTest, RuleFigure, RuleRecord, RuleTest

N_CTX = 32
PIECES: tuple[bytes, ...] = (
    b"<|endoftext|>",
    b" self",
    b".",
    b"\n",
    b"    ",
    b"<script>alert(1)</script>",
    "\u202egnp.exe".encode(),
    b"\x00",
    b"\xff\xfe",
    "\ud800".encode("utf-8", "surrogatepass"),
    b"\xe2\x82",
    "é世界🙂".encode(),
    b"&amp;",
    b'" onmouseover="x',
    b"\t",
    b"\r\n",
    *(f" word{n}".encode() for n in range(16, 64)),
)


@dataclass(frozen=True)
class Sample:
    """Everything that one publication takes."""

    model: ModelRecord
    dictionary: DictionaryRecord
    corpus: CorpusRecord
    harvest: HarvestRecord
    features: tuple[FeatureRecord, ...]
    windows: tuple[WindowRecord, ...]
    rules: tuple[RuleRecord, ...] = ()
    kept: KeptFirings | None = None


def vocabulary() -> Vocabulary:
    return Vocabulary(pieces=PIECES, special=frozenset({0}), bos=0)


def model(name: str = "demo", **changes: Any) -> ModelRecord:
    values: dict[str, Any] = {
        "name": name,
        "path": "demo/model",
        "checksum": "a" * 64,
        "dtype": "float32",
        "architecture": "GPT2LMHeadModel",
        "n_layers": 1,
        "d_model": 16,
        "n_ctx": 128,
        "d_vocab": len(PIECES),
        "vocabulary": vocabulary(),
        "details": {"parameters": 12345},
    }
    return ModelRecord(**(values | changes))


def dictionary(name: str = "mlp-12", model: str = "demo", **changes: Any) -> DictionaryRecord:
    values: dict[str, Any] = {
        "model": model,
        "name": name,
        "hook_point": "blocks.0.mlp.hook_post",
        "architecture": "topk",
        "d_in": 8,
        "d_sae": 12,
        "path": "demo/dictionaries/mlp-12",
        "checksum": "b" * 64,
        "dtype": "float32",
        "evaluation": {
            "l0": 4.25,
            "fvu": 0.125,
            "l_clean": 2.5,
            "l_recon": 2.75,
            "l_zero": 7.0,
            "l_mean": 6.5,
            "extra_loss_fraction": 0.25 / 4.5,
            "extra_loss_fraction_mean": 0.25 / 4.0,
            "dead_share": 0.25,
            "n_tokens": 65536,
        },
        "details": {"k": 4},
    }
    return DictionaryRecord(**(values | changes))


def corpus(name: str = "python-stdlib", **changes: Any) -> CorpusRecord:
    values: dict[str, Any] = {
        "name": name,
        "source": "the standard library of Python 3.11",
        "fingerprint": "c" * 64,
        "n_documents": 7,
        "n_tokens": 9_999,
        "details": {"files": ["a.py", "b.py"]},
    }
    return CorpusRecord(**(values | changes))


def harvest(dictionary: str = "mlp-12", model: str = "demo", **changes: Any) -> HarvestRecord:
    values: dict[str, Any] = {
        "model": model,
        "dictionary": dictionary,
        "corpus": "python-stdlib",
        "seed": 0,
        "n_ctx": N_CTX,
        "n_tokens": 1_048_576,
        "n_windows": 64,
        "settings": {"top": 20, "per_band": 5},
    }
    return HarvestRecord(**(values | changes))


def windows(count: int = 64, n_ctx: int = N_CTX, d_vocab: int = len(PIECES)) -> list[WindowRecord]:
    """Windows 0 to count - 1; the tokens follow from the number; some are short."""
    records = []
    for number in range(count):
        rng = np.random.default_rng([7, number])
        length = n_ctx if number % 5 else n_ctx - 7
        tokens = rng.integers(1, d_vocab, length)
        tokens[0] = 0
        document = ("pkg/<b>mod</b>.py", "nul\x00 and \ud800 surrogate.py", "json/decoder.py")
        records.append(WindowRecord(number, document[number % 3], 1 + 4 * number, tokens))
    return records


def _firings(feature: int, window: int, length: int) -> tuple[Any, Any]:
    """Where a feature fires in a window: the same in whatever group the window is shown."""
    rng = np.random.default_rng([11, feature, window])
    count = int(rng.integers(1, 8))
    positions = np.sort(rng.choice(np.arange(1, length), count, replace=False)).astype(np.uint16)
    values = (rng.gamma(1.5, 1.0, count) + 1e-3).astype(np.float32)
    return positions, values


def examples(feature: int, shown: list[WindowRecord]) -> Examples:
    """One example for each window, drawn for its strongest firing."""
    parts = [_firings(feature, w.number, len(w.tokens)) for w in shown]
    empty = np.zeros(0)
    return Examples(
        windows=np.array([w.number for w in shown], dtype=np.int64),
        peaks=np.array([p[int(np.argmax(v))] for p, v in parts], dtype=np.uint16),
        bounds=np.cumsum([0, *(len(p) for p, _ in parts)]).astype(np.int64),
        positions=np.concatenate([p for p, _ in parts] or [empty]).astype(np.uint16),
        values=np.concatenate([v for _, v in parts] or [empty]).astype(np.float32),
    )


def ranking(rng: np.random.Generator, count: int, among: int, shares: bool = False) -> Ranking:
    count = min(count, among)
    return Ranking(
        ids=rng.choice(among, count, replace=False).astype(np.int32),
        weights=-np.sort(-rng.normal(size=count)).astype(np.float32),
        shares=(rng.random(count) if shares else np.zeros(0)).astype(np.float32),
    )


def feature(
    index: int,
    shown: list[WindowRecord],
    d_sae: int = 12,
    d_vocab: int = len(PIECES),
    top: int = 20,
    per_band: int = 5,
    dead: bool = False,
) -> FeatureRecord:
    """A feature over the given windows. A dead one has no groups."""
    rng = np.random.default_rng([13, index])
    none = np.zeros(0, dtype=np.int64)
    groups: list[ExampleGroup] = []
    maximum = 0.0
    if not dead:
        drawn = rng.permutation(len(shown))
        strongest = examples(index, [shown[i] for i in np.sort(drawn[:top])])
        maximum = float(strongest.values.max())
        groups.append(ExampleGroup(GroupKind.TOP, -1, 0.5, maximum, top, strongest))
        for band in reversed(range(N_BANDS)):
            held = [shown[int(i)] for i in rng.choice(len(shown), per_band if band % 4 else 1)]
            low, high = maximum * band / N_BANDS, maximum * (band + 1) / N_BANDS
            groups.append(
                ExampleGroup(GroupKind.BAND, band, low, high, 3 * band, examples(index, held))
            )
        weakest = examples(index, [shown[i] for i in drawn[:top]])
        groups.append(ExampleGroup(GroupKind.WEAKEST, -1, 1e-3, 0.25, top, weakest))
    counts = rng.integers(0, 1000, N_HISTOGRAM).astype(np.int64)
    return FeatureRecord(
        index=index,
        firings=0 if dead else int(counts.sum()),
        maximum=maximum,
        activations=Histogram(0.0, maximum, none if dead else counts),
        logits=Histogram(-1.5, 2.25, rng.integers(0, 300, N_HISTOGRAM).astype(np.int64)),
        raised=ranking(rng, 10, d_vocab),
        lowered=ranking(rng, 10, d_vocab),
        neurons=ranking(rng, 3, 8, shares=True),
        nearest=ranking(rng, 5, d_sae),
        coactive=ranking(rng, 5, d_sae, shares=True),
        groups=tuple(groups),
        density_interval=None if dead else density_interval(index),
        fires_on=token_shares(index, 0 if dead else 10, d_vocab),
        fires_after=token_shares(-1 - index, 0 if dead else 10, d_vocab),
    )


def token_shares(seed: int, count: int, d_vocab: int = len(PIECES)) -> Ranking:
    """Tokens that are no special ones, with falling shares that add up to less than one."""
    rng = np.random.default_rng([19, seed % (1 << 32)])
    shares = np.sort(rng.dirichlet(np.full(count + 1, 0.5)))[::-1][:count] if count else []
    return Ranking(
        ids=(1 + rng.choice(d_vocab - 1, count, replace=False)).astype(np.int32),
        weights=np.array(shares, dtype=np.float32),
        shares=np.zeros(0, np.float32),
    )


def landing(index: int, dead: bool = False, d_vocab: int = len(PIECES)) -> Landing:
    """Where the effect of a feature lands: every third equals the one before it in effect."""
    if dead:
        none = np.zeros(0, np.float32)
        return Landing(None, 0, Ranking(none.astype(np.int32), none, none))
    rng = np.random.default_rng([23, index])
    gains = (0.25 + index // 3 + np.array([1.0, 0.5])).astype(np.float32)
    return Landing(
        effect=float(gains @ [0.75, 0.25]),
        contexts=20,
        tokens=Ranking(
            (1 + rng.choice(d_vocab - 1, 2, replace=False)).astype(np.int32),
            gains,
            np.array([0.75, 0.25], dtype=np.float32),
        ),
    )


def rule(index: int, dead: bool = False) -> RuleRecord:
    """A rule with hostile tokens; every fifth is not above its null, feature 4 has none."""
    if dead or index == 4:
        why = "It never fires." if dead else "It fires too seldom for a rule."
        token = None if dead else 5
        return RuleRecord(index, None, why, None, token, RuleFigure(None), None, 3, 450)
    tokens = (5, 6, 7 + index % 8)
    shown = ", ".join(f"“{visible(PIECES[token])}”" for token in tokens)
    f1 = 0.95 - 0.05 * (index % 6)
    return RuleRecord(
        index=index,
        predicate=Predicate(
            (Clause((TokenCondition("token", tokens), FlagCondition("place:string"))),)
        ),
        sentence=f"Fires on {shown}, inside a string",
        test=RuleTest(
            f1=RuleFigure(f1, f1 - 0.125, f1 + 0.03125),
            precision=RuleFigure(0.5, 0.25, 0.75),
            recall=RuleFigure(0.25),
            correlation=RuleFigure(None),
            firings=120,
            covered=60,
        ),
        token=5,
        token_f1=RuleFigure(0.375, 0.25, 0.5),
        null=NullTest(0.0625, 0.125, 99, 0.25 if index % 5 == 0 else 0.01),
        documents=3,
        tokens=450,
    )


def fires_on(feature: int, token: int) -> bool:
    """Whether a feature fires on a token of the kept text, wherever it stands."""
    return feature % 4 != 3 and (7 * token + 3 * feature) % 11 < 3


def kept(d_sae: int, shown: list[WindowRecord]) -> KeptFirings:
    """The text of the windows, in which features fire as `fires_on` says."""
    lengths = np.array([len(window.tokens) - 1 for window in shown])
    text = np.concatenate([window.tokens[1:] for window in shown])
    fires = np.array([[fires_on(f, t) for f in range(d_sae)] for t in range(len(PIECES))])[text]
    counts = fires.sum(axis=0)
    names = sorted({window.document for window in shown})
    kept_text = KeptText(
        numbers=np.array([window.number for window in shown]),
        bounds=np.concatenate([[0], np.cumsum(lengths)]),
        tokens=text.astype(np.uint16),
        documents=np.array([names.index(window.document) for window in shown]),
        lines=np.array([window.line for window in shown]),
        names=tuple(names),
        counts=counts,
    )
    rank = np.argsort(kept_text.order)
    tokens, features = np.nonzero(fires)
    window = np.searchsorted(kept_text.bounds, tokens, side="right") - 1
    places = tokens - kept_text.bounds[window]
    return KeptFirings(kept_text, tuple(packed_windows(lengths, window, places, rank[features])))


def density_interval(index: int) -> tuple[float, float]:
    return 0.001 / (1 + index), 1 - 0.001 / (1 + index)


def effect(feature: int, window: int, n: int = 4, d_vocab: int = len(PIECES)) -> ContextEffect:
    rng = np.random.default_rng([17, feature, window])
    return ContextEffect(
        positions=np.sort(rng.choice(np.arange(1, 25), n, replace=False)).astype(np.uint16),
        loss_change=rng.normal(size=n).astype(np.float32),
        raised_ids=rng.integers(0, d_vocab, (n, 5)).astype(np.int32),
        raised=rng.random((n, 5)).astype(np.float32),
        lowered_ids=rng.integers(0, d_vocab, (n, 5)).astype(np.int32),
        lowered=-rng.random((n, 5)).astype(np.float32),
    )


def sample(d_sae: int = 12, **changes: Any) -> Sample:
    """A whole publication: every fourth feature (3, 7, 11, …) is dead."""
    shown = windows()
    name = changes.pop("dictionary", "mlp-12")
    return Sample(
        model=model(),
        dictionary=dictionary(name, d_sae=d_sae, **changes),
        corpus=corpus(),
        harvest=harvest(name),
        features=tuple(feature(i, shown, d_sae, dead=i % 4 == 3) for i in range(d_sae)),
        windows=tuple(shown),
        rules=tuple(rule(i, dead=i % 4 == 3) for i in range(d_sae)),
        kept=kept(d_sae, shown),
    )


def neurons_sample() -> Sample:
    """The neuron basis of the same model: d_sae = d_in = 8, no weights on disk."""
    return sample(
        8,
        dictionary="neurons",
        architecture="identity",
        path=None,
        checksum="identity-8",
        details={"writers": "mlp-12"},
    )


def publish(store: Store, sample: Sample) -> None:
    """Model, dictionary, corpus and harvest, as the harvest command does it."""
    store.publish(
        sample.harvest,
        sample.features,
        sample.windows,
        sample.rules,
        sample.kept,
        model=sample.model,
        dictionary=sample.dictionary,
        corpus=sample.corpus,
    )
