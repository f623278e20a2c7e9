"""What a node is made of, and scores, held to float64 sums written out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

from sae_core.circuits.build import build_graph
from sae_core.circuits.check import Bench
from sae_core.circuits.graph import Graph, NodeKind
from sae_core.circuits.paths.composition import Composition, composition_steps
from sae_core.circuits.paths.heads import CAPPED
from sae_core.circuits.paths.scores import score_steps
from sae_core.circuits.settings import GraphSettings
from sae_core.circuits.steps import finished
from sae_core.errors import CircuitError
from tests.sae_core.circuits.reference import FrozenReference
from tests.sae_core.circuits.test_edges import LOGITS, RAW, Ablating, Case, case  # noqa: F401

CLOSE = 1e-5


@pytest.fixture(scope="module")
def graph(case: Case) -> Graph:  # noqa: F811
    settings = GraphSettings(target_tokens=tuple(LOGITS.tolist()))
    return build_graph(case.model, case.tokens, case.dictionaries, settings)


@pytest.fixture(scope="module")
def bench(case: Case, graph: Graph) -> Bench:  # noqa: F811
    return Bench(case.model, case.dictionaries, graph)


def a_target(graph: Graph, case: Case) -> int:  # noqa: F811
    """A feature of the last block at the last position."""
    nodes = graph.nodes
    last = len(case.tokens) - 1
    of = (nodes.kind == NodeKind.FEATURE) & (nodes.layer == 2) & (nodes.position == last)
    return int(np.flatnonzero(of)[0])


class Straight:
    """How a vector in the stream at one position adds to a feature of a later block there."""

    def __init__(self, case: Case, layer: int, position: int, row: Tensor) -> None:  # noqa: F811
        self.case, self.layer, self.position, self.row = case, layer, position, row

    def normed(self, name: str, norm: object, x: Tensor) -> Tensor:
        exact = self.case.exact
        placed = torch.zeros_like(exact.clean.embedding)
        placed[self.position] = x
        moved = exact.norm(name, norm, placed) - exact.norm(name, norm, torch.zeros_like(placed))
        return moved[self.position]

    def read(self, layer: int, x: Tensor) -> Tensor:
        block = self.case.exact.blocks[layer]
        names = {"gpt2": "ln_2", "llama": "post_attention_layernorm"}
        norm = getattr(block, names.get(self.case.name, "pre_feedforward_layernorm"))
        return self.normed(f"{layer} second", norm, x)

    def __call__(self, x: Tensor, behind: int = 0) -> float:
        """`behind`: how many MLPs the vector enters behind."""
        for layer in range(behind, self.layer):
            dictionary = self.case.dictionaries[layer]
            if dictionary.output is not None and dictionary.output.skip:
                x = x + self.read(layer, x) @ dictionary.W_skip.double().T
        return float(self.read(self.layer, x) @ self.row)

    def head(self, layer: int, head: int, source: int) -> float:
        """What a head brings from a position."""
        exact, block = self.case.exact, self.case.exact.blocks[layer]
        x = normed_inputs(exact)[layer]
        heads, width = len(exact.patterns[layer]), 8
        own = slice(head * width, (head + 1) * width)
        if self.case.name == "gpt2":
            fused = x @ block.attn.c_attn.weight + block.attn.c_attn.bias
            value, out = fused[:, 64:][:, own], block.attn.c_proj.weight[own]
        else:
            grouped = x @ block.self_attn.v_proj.weight.T
            group = head // (heads // (grouped.shape[1] // width))
            value = grouped[:, group * width : (group + 1) * width]
            out = block.self_attn.o_proj.weight.T[own]
        moved = exact.patterns[layer][head, self.position, source] * value[source] @ out
        if self.case.name == "gemma2":
            moved = self.normed(f"{layer} behind", block.post_attention_layernorm, moved)
        return self(moved, layer)

    def write(self, layer: int, write: Tensor) -> float:
        """What an MLP, or a feature of it, adds."""
        if layer in RAW.get(self.case.name, set()):
            norm = self.case.exact.blocks[layer].post_feedforward_layernorm
            write = self.normed(f"{layer} end", norm, write)
        return self(write, layer + 1)


def normed_inputs(exact: FrozenReference, without: object = None) -> list[Tensor]:
    """What each block's attention is given in a pass."""
    seen: list[Tensor] = []
    plain = type(exact).attention

    def attention(layer: int, x: Tensor) -> Tensor:
        seen.append(x)
        return plain(exact, layer, x)

    exact.attention = attention  # type: ignore[method-assign]
    try:
        if without is None:
            exact.run(exact.clean.embedding, exact.clean.raw)
        else:
            without()  # type: ignore[operator]
    finally:
        del exact.attention
    return seen[-len(exact.blocks) :]


@pytest.fixture(scope="module")
def made(bench: Bench, graph: Graph, case: Case) -> Composition:  # noqa: F811
    return finished(composition_steps(bench, a_target(graph, case)))


def test_a_node_is_the_sum_of_what_reaches_it(
    case: Case,  # noqa: F811
    graph: Graph,
    made: Composition,
) -> None:
    node, nodes, exact = a_target(graph, case), graph.nodes, case.exact
    position = int(nodes.position[node])
    dictionary = case.dictionaries[2]
    straight = Straight(case, 2, position, dictionary.W_enc[:, nodes.index[node]].double())
    assert len(made.heads) == 3 * len(exact.patterns[0])  # those of its own block, too
    size = max(abs(made.value), float(np.abs(made.through).max()))
    for n, (layer, head) in enumerate(zip(made.layers, made.heads, strict=True)):
        for source in range(position + 1):
            aim = straight.head(int(layer), int(head), source)
            assert made.through[n, source] == pytest.approx(aim, rel=CLOSE, abs=CLOSE * size)
    ablating = Ablating(case)
    aims = np.zeros(len(nodes))
    for other in range(len(nodes)):
        if nodes.position[other] != position or nodes.layer[other] > 1:
            continue
        layer, index = int(nodes.layer[other]), int(nodes.index[other])
        if nodes.kind[other] == NodeKind.TOKEN:
            aims[other] = straight(exact.clean.embedding[position])
            continue
        rows = case.dictionaries[layer].W_dec.double()
        acts = ablating.acts[layer][position]
        write = acts[index] * rows[index]
        if nodes.kind[other] == NodeKind.ERROR:
            write = ablating.base[layer][position] - acts @ rows
            write = write - case.dictionaries[layer].b_dec.double()
        aims[other] = straight.write(layer, write)
    np.testing.assert_allclose(made.straight.nodes, aims, rtol=CLOSE, atol=CLOSE * size)
    assert made.straight.rest == pytest.approx(0, abs=CLOSE * size)
    assert made.straight.total + made.through.sum() == pytest.approx(made.value, rel=1e-6)


def test_edges_are_what_goes_straight_and_through_heads(graph: Graph, made: Composition) -> None:
    """All heads together, each with what is behind it, and what goes straight, are the edges."""
    edges = graph.edges
    for head, behind in zip(made.strongest.tolist(), made.behind, strict=True):
        total = made.through[head].sum()
        assert behind.total == pytest.approx(total, rel=1e-5, abs=1e-6)
    node = np.flatnonzero(graph.nodes.kind == NodeKind.FEATURE)
    node = int(node[(graph.nodes.layer[node] == 2) & (graph.nodes.position[node] == 7)][0])
    into = edges.target == node
    row = np.zeros(len(graph.nodes))
    row[edges.source[into]] = edges.weight[into]
    left = row - made.straight.nodes - sum(part.nodes for part in made.behind)
    weak = np.abs(made.through.sum(axis=1))
    weak[made.strongest] = 0
    # What is left of the edges came through the weaker heads.
    assert np.abs(left).sum() <= np.abs(row).sum()
    assert len(made.strongest) == 8 < len(weak)


def query_and_key(case: Case, layer: int, head: int, x: Tensor) -> tuple[Tensor, Tensor]:  # noqa: F811
    """A head's queries and keys [pos, width] of what its block's attention is given."""
    block, width = case.exact.blocks[layer], 8
    own = slice(head * width, (head + 1) * width)
    if case.name == "gpt2":
        fused = x @ block.attn.c_attn.weight + block.attn.c_attn.bias
        return fused[:, :32][:, own], fused[:, 32:64][:, own]
    attention, group = block.self_attn, head // 2
    query = (x @ attention.q_proj.weight.T)[:, own]
    key = (x @ attention.k_proj.weight.T)[:, group * width : (group + 1) * width]
    positions = torch.arange(len(x))[None]
    cosine, sine = case.exact.plain.model.rotary_emb(x[None], positions)
    query, key = apply_rotary_pos_emb(query[None, None], key[None, None], cosine, sine)
    return query[0, 0], key[0, 0]


def test_a_score_is_the_sum_of_pairs(case: Case, graph: Graph, bench: Bench) -> None:  # noqa: F811
    layer, head, at, to = 1, 2, 6, 4
    split = finished(score_steps(bench, layer, head, at, to))
    scale = 256**-0.5 if case.name == "gemma2" else 8**-0.5
    exact, ablating = case.exact, Ablating(case)
    query, key = query_and_key(case, layer, head, normed_inputs(exact)[layer])
    size = scale * float(query[at].norm() * key[to].norm())
    score = scale * float(query[at] @ key[to])
    close = {"rel": CLOSE, "abs": CLOSE * size}
    assert split.score == pytest.approx(score, **close)
    assert split.query.total == pytest.approx(split.score)
    assert split.key.total == pytest.approx(split.score)
    assert split.caveat == (CAPPED if case.name == "gemma2" else "")
    np.testing.assert_allclose(split.pattern, exact.patterns[layer][head, at], atol=1e-6)
    nodes, own = graph.nodes, {}
    sources = [n for n in range(len(nodes)) if nodes.layer[n] <= 0 and nodes.kind[n] != 2][:40]
    for node in sources:
        moved = normed_inputs(exact, lambda n=node: taken_out(case, graph, ablating, n))[layer]
        less_query, less_key = query_and_key(case, layer, head, moved)
        own[node] = (query[at] - less_query[at], key[to] - less_key[to])
        aim = scale * float(own[node][0] @ key[to])
        assert split.query.nodes[node] == pytest.approx(aim, **close)
        aim = scale * float(query[at] @ own[node][1])
        assert split.key.nodes[node] == pytest.approx(aim, **close)
    known = [n for n, pair in enumerate(split.pairs.tolist()) if set(pair) <= set(own)]
    assert known
    for n in known:
        a, b = split.pairs[n].tolist()
        aim = scale * float(own[a][0] @ own[b][1])
        assert split.weights[n] == pytest.approx(aim, **close)


def taken_out(case: Case, graph: Graph, ablating: Ablating, node: int) -> None:  # noqa: F811
    """A frozen pass without a token, or a feature of the first block."""
    nodes, embedding = graph.nodes, case.exact.clean.embedding.clone()
    writes = [x.clone() for x in ablating.base]
    position, index = int(nodes.position[node]), int(nodes.index[node])
    if nodes.kind[node] == NodeKind.TOKEN:
        embedding[position] = 0
    else:
        rows = case.dictionaries[0].W_dec.double()
        writes[0][position] -= ablating.acts[0][position, index] * rows[index]
    ablating.targets(embedding, writes)


def test_what_is_not_there_is_a_sentence(bench: Bench, graph: Graph) -> None:
    for wrong in ((99, 0, 3, 1), (0, 99, 3, 1), (0, 0, 1, 3), (0, 0, 99, 1)):
        with pytest.raises(CircuitError):
            finished(score_steps(bench, *wrong))
    with pytest.raises(CircuitError, match="Only features and logits"):
        finished(composition_steps(bench, 0))
    with pytest.raises(CircuitError, match="no node"):
        finished(composition_steps(bench, len(graph.nodes)))
