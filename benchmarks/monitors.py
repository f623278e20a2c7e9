"""What monitors cost and keep: `python -m benchmarks.monitors HOME MODEL/DICTIONARY`, minutes.

Cost: a text drawn by the worker's own job, watched and unwatched, in turns and from the same seeds;
the ratio of the rates, which is above 1 where watching cost nothing. Processor time of the thread
that computes, not of the clock: other programs may run beside it. Rates: thresholds asked for at
several rates of several features, and what they then do on documents that neither chose nor stated
them, with the exact interval of each and of all features together.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from app.jobs.audit.monitor import spread_windows
from app.jobs.harvested.evaluate import stored_spec
from app.jobs.source import Source, open_source
from app.settings import Settings, read_settings
from app.store.store import open_store
from app.store.types.catalogue import DictionaryView
from app.worker.client.references import dictionary_ref, model_ref
from app.worker.process.jobs.chat import answer_chat
from app.worker.process.limits import Limits
from app.worker.process.shelf import Shelf
from app.worker.protocol.chats import ChatEnded, ChatRequest
from app.worker.protocol.monitors import GateKind, WatchedMonitor, WeighedFeature
from app.worker.protocol.requests import Sampling
from sae_core.audit.monitors.levels import LevelReader, read_levels
from sae_core.audit.monitors.monitor import Monitor, Numbers
from sae_core.audit.monitors.threshold import alarm_share, choose_threshold

ROUNDS = 15
N_TOKENS = 80
RATIO_AT_LEAST = 0.95
RATES = (0.1, 0.05, 0.01)
N_FEATURES = 12
N_TEXTS = 6_000
AT_ONCE = 64


def main() -> int:
    """Measure both, and say whether the promises were kept."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("home", type=Path, help="FEATURESCOPE_HOME of a harvest")
    parser.add_argument("target", metavar="MODEL/DICTIONARY")
    parser.add_argument("--only", choices=("cost", "rates"))
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    settings = read_settings(home=asked.home)
    with open_store(settings) as store:
        view = store.dictionary(*asked.target.split("/", 1))
        firing = [
            int(row.index)
            for row in store.rows(view, list(range(view.d_sae))).values()
            if row.maximum > 0
        ]
    kept = True
    if asked.only != "rates":
        kept = cost(view, firing, asked.rounds)
    if asked.only != "cost":
        kept = rates(settings, view, firing) and kept
    return 0 if kept else 1


def cost(view: DictionaryView, firing: Sequence[int], rounds: int) -> bool:
    """Print the ratio of monitored to unmonitored generation; whether the promise was kept."""
    shelf = Shelf("cpu", Limits().memory_bytes)
    drawn = np.random.default_rng(0).permutation(firing)[:16].tolist()
    one, several = _features(view, drawn[:1]), _features(view, drawn[:8])
    probe = WatchedMonitor(
        name="probe", dictionary=dictionary_ref(view), direction=(0.1,) * view.d_in, threshold=1e30
    )
    cases: dict[str, tuple[tuple[WatchedMonitor, ...], GateKind]] = {
        "one feature": ((one,), GateKind.MARK),
        "eight features": ((several,), GateKind.MARK),
        "a probe": ((probe,), GateKind.MARK),
        "all three": ((one, several, probe), GateKind.MARK),
        "one feature, gate refuse": ((one,), GateKind.REFUSE),
    }
    kept = True
    for name, (monitors, gate) in cases.items():
        pairs = list(_pairs(view, shelf, monitors, gate, rounds))
        ratios = [watched / plain for plain, watched in pairs]
        middle = statistics.median(ratios)
        kept &= middle >= RATIO_AT_LEAST
        print(
            f"{name}: {statistics.median(p for p, _ in pairs):.1f} tokens a second of processor "
            f"time unwatched, ratio {middle:.3f} ({min(ratios):.3f} to {max(ratios):.3f})",
            flush=True,
        )
    return kept


def _features(view: DictionaryView, features: Sequence[int]) -> WatchedMonitor:
    members = tuple(WeighedFeature(feature=feature, weight=1.0) for feature in features)
    return WatchedMonitor(
        name="features", dictionary=dictionary_ref(view), members=members, threshold=1e30
    )


def _pairs(
    view: DictionaryView,
    shelf: Shelf,
    monitors: tuple[WatchedMonitor, ...],
    gate: GateKind,
    rounds: int,
) -> Iterator[tuple[float, float]]:
    """Rates without and with the monitors, which change places from round to round."""
    _rate(view, shelf, monitors, gate, 0)
    _rate(view, shelf, (), GateKind.MARK, 0)
    for seed in range(1, rounds + 1):
        both = [((), GateKind.MARK), (monitors, gate)]
        order = both if seed % 2 else both[::-1]
        made = {bool(own): _rate(view, shelf, own, kind, seed) for own, kind in order}
        yield made[False], made[True]


def _rate(
    view: DictionaryView,
    shelf: Shelf,
    monitors: tuple[WatchedMonitor, ...],
    gate: GateKind,
    seed: int,
) -> float:
    request = ChatRequest(
        model=model_ref(view),
        prompt="The",
        n_tokens=N_TOKENS,
        alone=True,
        sampling=Sampling(seed=seed),
        monitors=monitors,
        gate=gate,
    )
    began, n = time.thread_time(), 0
    for event in answer_chat(request, shelf, Limits()):
        event.model_dump_json()
        if isinstance(event, ChatEnded):
            n = event.n_tokens
    return n / (time.thread_time() - began)


def rates(settings: Settings, view: DictionaryView, firing: Sequence[int]) -> bool:
    """Print the rates asked for and observed; whether none is more than was asked for, in all."""
    opened = open_source(settings, stored_spec(settings, view.model, view.name))
    numbers = spread_windows(opened, N_TEXTS, 0)
    documents = opened.windows.document_of(numbers)
    drawn = np.random.default_rng(1).permutation(firing)[:N_FEATURES].tolist()
    readers = [
        LevelReader(opened.model, opened.dictionary, Monitor(((feature, 1.0),)))
        for feature in drawn
    ]
    levels = _levels(opened, readers, numbers)
    # A third of the documents stays out of everything: on it the observed rate is looked at.
    every = np.random.default_rng(2).permutation(np.unique(documents))
    new = np.isin(documents, every[: len(every) // 3])
    print(f"{len(numbers)} texts, {int(new.sum())} of them new, {len(every)} documents")
    kept = True
    for rate in RATES:
        alarms = inside = 0
        for feature, own in zip(drawn, levels, strict=True):
            chosen = choose_threshold(own[~new], documents[~new], rate)
            seen = int((own[new] > chosen.threshold).sum())
            share = alarm_share(seen, int(new.sum()))
            inside += chosen.stated.low <= share.share <= chosen.stated.high
            alarms += seen
            print(
                f"asked {rate:.0%}, feature {feature}: stated {chosen.stated.share:.4f} "
                f"({chosen.stated.low:.4f} to {chosen.stated.high:.4f}), on new text "
                f"{share.share:.4f} ({share.low:.4f} to {share.high:.4f}), silent "
                f"{chosen.silent:.1%}"
            )
        total = alarms / (len(drawn) * int(new.sum()))
        kept &= total <= rate
        print(
            f"asked {rate:.0%}: mean over {len(drawn)} features {total:.4f}; the rate on new text "
            f"lies in the stated interval for {inside} of them",
            flush=True,
        )
    return kept


def _levels(opened: Source, readers: Sequence[LevelReader], numbers: NDArray[np.int64]) -> Numbers:
    """Of each monitor on each text, [monitors, n]."""
    levels = []
    for begin in range(0, len(numbers), AT_ONCE):
        tokens, is_text = opened.windows.gather(numbers[begin : begin + AT_ONCE])
        lengths = tokens.shape[1] - is_text[:, ::-1].argmax(axis=1)
        texts = [[row[:n].tolist()] for row, n in zip(tokens, lengths, strict=True)]
        levels += [one.level for one in read_levels(opened.model, readers, texts)]
    return np.array(levels).T


if __name__ == "__main__":
    sys.exit(main())
