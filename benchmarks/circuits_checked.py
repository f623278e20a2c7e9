"""Attribution graphs of the deeper demo, held against its ablations:
`python -m benchmarks.circuits_checked [--prompts 50 --tokens 24]`, some minutes.

Prompts are the beginnings of windows of held-out files, drawn by a seed, whose likeliest next token
has a probability of 0.3 or more. Each graph is made of the transcoders of all MLPs, its targets
the likeliest token and the second. Printed are, with 95 % intervals over prompts: how much of the
difference of their logits is kept by the strongest features alone, and lost without them, beside
random features that fire; and the share of drawn edges whose sign, and whose size within a factor
of two, ablating the source in the real model confirms.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np
import torch
from numpy.typing import NDArray

from app.jobs.demo.contents import DEEP
from app.jobs.source import open_windows
from app.settings import read_settings, resource
from sae_core.circuits.build import build_graph
from sae_core.circuits.check import check_edges, check_nodes
from sae_core.circuits.faithfulness import faithfulness
from sae_core.circuits.graph import Graph, NodeKind
from sae_core.circuits.influence import prune
from sae_core.circuits.settings import GraphSettings
from sae_core.dictionaries.checkpoint import load_dictionary
from sae_core.dictionaries.dictionary import Dictionary
from sae_core.language_model.model import LanguageModel, load_model
from sae_core.text.corpus import STDLIB
from sae_core.text.tokenized import Windows

SIZES = (5, 10, 20, 50, 100, 200)
LIKELY = 0.3
EDGES = 100  # of each graph that are checked, drawn among those in view


def questions(
    model: LanguageModel, windows: Windows, n: int, length: int, seed: int = 0
) -> list[tuple[torch.Tensor, tuple[int, int]]]:
    """Prompts with their two likeliest next tokens."""
    rng = np.random.default_rng(seed)
    asked: list[tuple[torch.Tensor, tuple[int, int]]] = []
    for number in rng.permutation(windows.of_documents(held_out=True)):
        tokens, text = windows.gather(np.array([number]))
        if int(text.sum()) < length - 1:
            continue
        prompt = torch.from_numpy(tokens[0, :length])
        probabilities = model.logits(prompt[None])[0, -1].softmax(-1)
        top = probabilities.topk(2)
        if float(top.values[0]) >= LIKELY:
            asked.append((prompt, (int(top.indices[0]), int(top.indices[1]))))
        if len(asked) == n:
            break
    return asked


def drawn_edges(graph: Graph, rng: np.random.Generator) -> NDArray[np.int64]:
    """Some of the edges that the page draws at first, whose source can be taken out."""
    source = graph.nodes.kind[graph.edges.source]
    visible = prune(graph).edges & ((source == NodeKind.FEATURE) | (source == NodeKind.TOKEN))
    edges = np.flatnonzero(visible)
    return np.sort(rng.choice(edges, min(EDGES, len(edges)), replace=False)).astype(np.int64)


def interval(shares: list[float]) -> str:
    """A mean over prompts with its 95 % bootstrap interval."""
    values, rng = np.array(shares), np.random.default_rng(0)
    means = values[rng.integers(0, len(values), (2000, len(values)))].mean(axis=1)
    low, high = np.quantile(means, (0.025, 0.975))
    return f"{values.mean():.3f} ({low:.3f} to {high:.3f})"


def main(names: list[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prompts", type=int, default=50)
    parser.add_argument("--tokens", type=int, default=24)
    options = parser.parse_args(names or [])
    folder = resource("demo") / DEEP.folder
    model = load_model(str(folder / "model"))
    dictionaries: list[Dictionary] = [
        load_dictionary(folder / own.name) for own in DEEP.dictionaries if own.output_hook_point
    ]
    windows = open_windows(read_settings(), model, STDLIB, None)
    asked = questions(model, windows, options.prompts, options.tokens)
    rng = np.random.default_rng(0)
    graphs, signs, sizes, nodes, denied = [], [], [], [], []
    for prompt, targets in asked:
        graph = build_graph(model, prompt, dictionaries, GraphSettings(target_tokens=targets))
        graphs.append(graph)
        checked = check_edges(model, dictionaries, graph, drawn_edges(graph, rng))
        signs.append(float((np.sign(checked.weights) == np.sign(checked.direct)).mean()))
        sizes.append(float(checked.confirmed.mean()))
        kept = np.flatnonzero(prune(graph).nodes & (graph.nodes.kind == NodeKind.FEATURE))
        whole = check_nodes(model, dictionaries, graph, kept.astype(np.int64))
        nodes.append(float(whole.confirmed.mean()))
        denied.append(float(whole.denied.mean()))
    count = [int((graph.nodes.kind == NodeKind.FEATURE).sum()) for graph in graphs]
    print(
        f"{len(graphs)} prompts of {options.tokens} tokens, {np.mean(count):.0f} features in each"
    )
    print(f"  edges in view: sign confirmed {interval(signs)}, sign and size {interval(sizes)}")
    print(
        f"  features in view, whole effect: confirmed {interval(nodes)}, denied {interval(denied)}"
    )
    judged = faithfulness(model, dictionaries, graphs, SIZES)
    clear = np.abs(judged.gap) >= 0.5
    print(f"  {int(clear.sum())} prompts whose features move the difference by 0.5 or more:")
    for i, size in enumerate(SIZES):
        columns = (judged.kept, judged.random_kept, judged.removed, judged.random_removed)
        shown = [interval(curve[clear, i].tolist()) for curve in columns]
        print(
            f"  {size:4} features: kept {shown[0]}, random {shown[1]}; "
            f"lost without {shown[2]}, random {shown[3]}",
            flush=True,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
