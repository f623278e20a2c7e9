"""Building a graph: which dictionaries, which targets, how much memory, and what is refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from sae_core.circuits.build import GraphProgress, build_graph, estimate
from sae_core.circuits.frozen.parts import wire
from sae_core.circuits.frozen.rows import Targets, causes_of
from sae_core.circuits.graph import Graph, NodeKind
from sae_core.circuits.influence import completeness_score, influence, prune, replacement_score
from sae_core.circuits.settings import GraphSettings
from sae_core.dictionaries.architectures.gated import GatedDictionary
from sae_core.dictionaries.architectures.jumprelu import JumpReLUDictionary
from sae_core.dictionaries.architectures.matching_pursuit import MatchingPursuitDictionary
from sae_core.dictionaries.architectures.neurons import NeuronBasis
from sae_core.dictionaries.architectures.standard import StandardDictionary
from sae_core.dictionaries.architectures.topk import TopKDictionary
from sae_core.dictionaries.cross_layer import CrossLayerTranscoder
from sae_core.dictionaries.dictionary import Dictionary, Output
from sae_core.dictionaries.normalised import InputNorm, NormalisedDictionary
from sae_core.errors import CircuitError, HookPointError, PromptError
from sae_core.language_model.model import LanguageModel, load_model
from tests.sae_core.circuits.test_edges import transcoder
from tests.sae_core.language_model.zoo import build
from tests.sae_core.tiny_dictionaries import random_dictionary
from tests.sae_core.tiny_models import save_folder

PROMPT = torch.cat([torch.zeros(1).long(), torch.arange(40, 48)])
SETTINGS = GraphSettings(max_logits=4)


@pytest.fixture(scope="module")
def transcoders() -> list[Dictionary]:
    return [transcoder(layer) for layer in range(3)]


@pytest.fixture(scope="module")
def graph(gpt2: LanguageModel, transcoders: list[Dictionary]) -> Graph:
    return build_graph(gpt2, PROMPT, transcoders, SETTINGS)


def arrays(graph: Graph) -> list[bytes]:
    columns = [getattr(graph.nodes, f.name) for f in fields(graph.nodes)]
    columns += [getattr(graph.edges, f.name) for f in fields(graph.edges)]
    return [column.tobytes() for column in (*columns, graph.targets, graph.target_weights)]


def test_the_same_graph_is_the_same_bytes(
    gpt2: LanguageModel, transcoders: list[Dictionary], graph: Graph
) -> None:
    again = build_graph(gpt2, PROMPT, transcoders, SETTINGS)
    assert arrays(again) == arrays(graph)
    assert (again.settings, again.left_out) == (graph.settings, graph.left_out)


def test_how_many_targets_at_once_changes_nothing(
    gpt2: LanguageModel,
    transcoders: list[Dictionary],
    graph: Graph,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sae_core.circuits.build._CHUNK", 3)
    small = build_graph(gpt2, PROMPT, transcoders, SETTINGS)
    np.testing.assert_array_equal(small.nodes.index, graph.nodes.index)
    np.testing.assert_array_equal(small.edges.source, graph.edges.source)
    np.testing.assert_allclose(small.edges.weight, graph.edges.weight, rtol=1e-4, atol=1e-6)


def test_few_nodes_are_the_strongest_ones(
    gpt2: LanguageModel, transcoders: list[Dictionary], graph: Graph
) -> None:
    few = build_graph(gpt2, PROMPT, transcoders, replace(SETTINGS, max_nodes=20))
    keys = set(zip(few.nodes.layer, few.nodes.position, few.nodes.index, strict=True))
    strength, whole = influence(graph), graph.nodes
    features = np.flatnonzero(whole.kind == NodeKind.FEATURE)
    best = features[np.argsort(-strength[features])][:8]
    assert {(whole.layer[n], whole.position[n], whole.index[n]) for n in best} <= keys
    assert (few.nodes.kind == NodeKind.FEATURE).sum() == 20
    assert 0 < few.left_out["influence_of_features"] < 0.5
    assert few.left_out["features"] + 20 == estimate(gpt2, PROMPT, transcoders).features


def test_few_edges_are_the_strongest_ones(
    gpt2: LanguageModel, transcoders: list[Dictionary], graph: Graph
) -> None:
    few = build_graph(gpt2, PROMPT, transcoders, replace(SETTINGS, max_edges=50))
    assert len(few.edges) == 50
    assert few.left_out["edges"] == len(graph.edges) - 50
    assert 0 < few.left_out["influence_of_edges"] < 1
    assert graph.left_out["influence_of_edges"] == pytest.approx(0, abs=1e-6)


def test_little_memory_keeps_the_strongest_edges_of_each_target(
    gpt2: LanguageModel, transcoders: list[Dictionary], graph: Graph
) -> None:
    needed = estimate(gpt2, PROMPT, transcoders, SETTINGS)
    assert needed.width == needed.columns
    assert needed.bytes <= SETTINGS.memory
    less = replace(SETTINGS, memory=(96 << 20) + 1_000_000, max_edges=3000)
    tight = estimate(gpt2, PROMPT, transcoders, less)
    assert tight.bytes <= less.memory
    assert tight.width < tight.columns
    small = build_graph(gpt2, PROMPT, transcoders, less)
    assert np.bincount(small.edges.target).max() <= tight.width
    assert small.left_out["influence_of_edges"] < 0.2
    with pytest.raises(CircuitError, match=r"takes at least .* MiB"):
        build_graph(gpt2, PROMPT, transcoders, replace(SETTINGS, memory=1000))


def test_progress_says_how_far_it_is_and_may_stop(
    gpt2: LanguageModel, transcoders: list[Dictionary], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sae_core.circuits.build._CHUNK", 8)
    seen: list[GraphProgress] = []
    build_graph(gpt2, PROMPT, transcoders, SETTINGS, seen.append)
    assert [p.done for p in seen] == sorted({p.done for p in seen} | {0}) or len(seen) > 3
    assert seen[0].done == 0
    assert seen[-1].done <= seen[-1].total

    def stop(_: GraphProgress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_graph(gpt2, PROMPT, transcoders, SETTINGS, stop)


def test_a_feature_as_target_has_the_inputs_that_it_has_elsewhere(
    gpt2: LanguageModel, transcoders: list[Dictionary], graph: Graph
) -> None:
    nodes = graph.nodes
    n = int(np.flatnonzero((nodes.kind == NodeKind.FEATURE) & (nodes.layer == 2))[0])
    at = (int(nodes.place[n]), int(nodes.position[n]), int(nodes.index[n]))
    own = build_graph(gpt2, PROMPT, transcoders, GraphSettings(target_features=(at,)))
    assert own.targets.tolist() == [len(own.nodes) - 1]
    assert own.target_weights.tolist() == [1]
    got = np.sort(own.edges.weight[own.edges.target == own.targets[0]])
    expected = np.sort(graph.edges.weight[graph.edges.target == n])
    np.testing.assert_allclose(got, expected[np.abs(expected) > 0], rtol=1e-4, atol=1e-6)


def test_only_one_block_with_a_dictionary_leaves_the_others_as_constants(
    gpt2: LanguageModel, transcoders: list[Dictionary]
) -> None:
    graph = build_graph(gpt2, PROMPT, transcoders[1:2], SETTINGS)
    nodes = graph.nodes
    assert set(nodes.layer[nodes.kind == NodeKind.FEATURE]) == {1}
    errors = nodes.kind == NodeKind.ERROR
    assert set(nodes.layer[errors & (nodes.place == -1)]) == {0, 2}
    assert set(nodes.layer[errors & (nodes.place == 0)]) == {1}


def test_half_precision_runs_in_float32(gpt2_folder: Path, transcoders: list[Dictionary]) -> None:
    half = load_model(gpt2_folder, "bfloat16")
    wide = load_model(gpt2_folder)
    assert arrays(build_graph(half, PROMPT, transcoders, SETTINGS)) == arrays(
        build_graph(wide, PROMPT, transcoders, SETTINGS)
    )


def test_a_cross_layer_transcoder_writes_into_later_blocks(gpt2: LanguageModel) -> None:
    """Its edges are those of as many transcoders, each written into all later blocks."""
    output = Output("blocks.*.hook_mlp_out", 3 * 32, layers=3)
    clt = CrossLayerTranscoder("blocks.*.mlp.hook_in", 3 * 32, 3 * 10, output)
    draw = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in clt.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=draw))
        clt.threshold.abs_()
    clt.requires_grad_(False)
    causes = causes_of(gpt2, PROMPT, wire(gpt2, [clt]))
    none = torch.empty(0, dtype=torch.int64)
    targets = Targets(none, torch.arange(causes.begins[0], causes.begins[-1]))
    rows, nodes = causes.rows(targets), causes.nodes()
    assert set(nodes.index[nodes.layer == 2]) <= {-1, *range(20, 30)}
    # A feature of the first block, taken out of all that it wrote.
    first = causes.firings[0]
    n = len(first.features) // 2
    edits = {}
    for left in causes.remainders:
        row = first.part.write_rows(first.features[n : n + 1], left.point)[0]
        changed = causes.run.written[left.point].detach().clone()
        changed[0, first.positions[n]] -= first.values[n] * row
        edits[left.point] = changed
    replay = causes.run.again(edits, 1)
    last = causes.firings[2]
    x = causes.run.read[last.part.read].detach() - replay.read[last.part.read]
    expected = x[0] @ clt.encoders[2]
    aim = expected[last.positions, last.features - 20]
    got = rows[causes.begins[2] - causes.begins[0] : causes.begins[3] - causes.begins[0]]
    torch.testing.assert_close(got[:, causes.begins[0] + n], aim, rtol=1e-3, atol=1e-5)
    whole = build_graph(gpt2, PROMPT, [clt], SETTINGS)
    assert 0 < replacement_score(whole) < 1


def test_residual_stream_features_are_linked_through_mlps_by_derivatives(
    gpt2_folder: Path,
) -> None:
    model = load_model(gpt2_folder, "float64")
    dictionaries = [random_dictionary(f"blocks.{n}.hook_resid_post", 32).double() for n in range(3)]
    causes = causes_of(model, PROMPT, wire(model, dictionaries))
    none = torch.empty(0, dtype=torch.int64)
    targets = Targets(none, torch.arange(causes.begins[1], causes.begins[2]))
    rows = causes.rows(targets)
    source, later = causes.firings[0], causes.firings[1]
    n = len(source.features) // 3
    point = source.part.writes[0]
    write = source.values[n] * source.part.write_rows(source.features[n : n + 1], point)[0]
    moved = []
    for sign in (1, -1):
        x = causes.run.written[point].detach().clone()
        x[0, source.positions[n]] += sign * 1e-5 * write
        moved.append(causes.run.again({point: x}, 1).read[later.part.read])
    slope = ((moved[0] - moved[1])[0] / 2e-5) @ dictionaries[1].W_enc
    aim = slope[later.positions, later.features]
    torch.testing.assert_close(rows[:, causes.begins[0] + n], aim, rtol=1e-5, atol=1e-7)
    graph = build_graph(model, PROMPT, dictionaries, SETTINGS)
    assert prune(graph).nodes.any()
    assert completeness_score(graph) < 1


def seeded(dictionary: Dictionary) -> Dictionary:
    draw = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in dictionary.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=draw))
    return dictionary.requires_grad_(False).double()


def architectures(hook_point: str) -> Sequence[Dictionary]:
    jump = JumpReLUDictionary(hook_point, 32, 24)
    return [
        StandardDictionary(hook_point, 32, 24, True),
        jump,
        TopKDictionary(hook_point, 32, 24, 6, rescale_acts_by_decoder_norm=True),
        GatedDictionary(hook_point, 32, 24),
        *(
            NormalisedDictionary(StandardDictionary(hook_point, 32, 24), norm)
            for norm in (InputNorm.LAYER_NORM, InputNorm.CONSTANT_NORM, InputNorm.CENTRED)
        ),
    ]


@pytest.mark.parametrize("number", range(7))
def test_a_feature_reads_along_the_derivative_of_its_activation(
    gpt2: LanguageModel, number: int
) -> None:
    """With the scale of a normalised input held constant."""
    dictionary = seeded(architectures("blocks.1.hook_resid_post")[number])
    x = torch.randn(40, 32, generator=torch.Generator().manual_seed(1)).double()
    acts = dictionary.encode(x)
    rows, features = acts.nonzero(as_tuple=True)
    part = wire(gpt2, [dictionary]).parts[0]
    ours = part.read_rows(features, x[rows])
    assert len(rows) > 50
    moved = 1e-6 * torch.randn(x.shape, generator=torch.Generator().manual_seed(2)).double()
    if isinstance(dictionary, NormalisedDictionary):
        z, scale, _ = dictionary.normalise(x)
        divisor = (x - x.mean(-1, keepdim=True) * (dictionary.norm != InputNorm.CONSTANT_NORM)) / z
        centre = moved.mean(-1, keepdim=True) * (dictionary.norm != InputNorm.CONSTANT_NORM)
        inner = dictionary.inner
        after = scale * inner.encode(z + (moved - centre) / divisor)
    else:
        after = dictionary.encode(x + moved)
    expected = (after - acts)[rows, features]
    got = (ours * moved[rows]).sum(-1)
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-11)


BAD: list[tuple[str, Tensor, list[Dictionary], GraphSettings]] = [
    ("at least two tokens", PROMPT[:1], [transcoder(0)], SETTINGS),
    ("needs a dictionary", PROMPT, [], SETTINGS),
    ("at most 64", PROMPT.repeat(9), [transcoder(0)], SETTINGS),
    ("no token 5000", PROMPT, [transcoder(0)], GraphSettings(target_tokens=(5000,))),
    ("both replace", PROMPT, [transcoder(0), transcoder(0)], SETTINGS),
    (
        "both replace",
        PROMPT,
        [
            random_dictionary(f"blocks.{name}", 32)
            for name in ("0.hook_resid_post", "1.hook_resid_pre")
        ],
        SETTINGS,
    ),
    ("cannot be cut", PROMPT, [random_dictionary("blocks.0.hook_resid_mid", 32)], SETTINGS),
    (
        "one after the other",
        PROMPT,
        [MatchingPursuitDictionary("blocks.0.hook_resid_post", 32, 24)],
        SETTINGS,
    ),
    ("no dictionary 3", PROMPT, [transcoder(0)], GraphSettings(target_features=((2, 1, 1),))),
    ("no position 70", PROMPT, [transcoder(0)], GraphSettings(target_features=((0, 70, 1),))),
    ("does not fire", PROMPT, [transcoder(0)], GraphSettings(target_features=((0, 0, 1),))),
    ("24 features", PROMPT, [transcoder(0)], GraphSettings(target_features=((0, 1, 99),))),
    ("does not exist", PROMPT, [transcoder(7)], SETTINGS),
]


@pytest.mark.parametrize("number", range(len(BAD)))
def test_what_makes_no_graph_is_refused_with_a_sentence(gpt2: LanguageModel, number: int) -> None:
    words, tokens, dictionaries, settings = BAD[number]
    with pytest.raises((CircuitError, PromptError, HookPointError), match=words):
        build_graph(gpt2, tokens, dictionaries, settings)


@pytest.mark.parametrize(
    "settings",
    [
        {"max_logits": 0},
        {"max_nodes": -1},
        {"desired_probability": 0.0},
        {"desired_probability": float("nan")},
        {"target_tokens": (1, 1)},
        {"target_tokens": (1,), "target_features": ((0, 1, 1),)},
    ],
)
def test_settings_that_contradict_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(CircuitError):
        GraphSettings(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(("name", "frozen"), [("neox", True), ("falcon", True), ("lfm2", False)])
def test_a_model_whose_blocks_are_not_linear_when_frozen_is_refused(
    name: str, frozen: bool, tmp_path: Path
) -> None:
    model = load_model(save_folder(build(name), tmp_path / "model"))
    name = "blocks.1.mlp.hook_post"
    neurons = [NeuronBasis(name, model.hook_point(name).d_in)]
    if frozen:
        assert len(build_graph(model, PROMPT, neurons, SETTINGS).edges)
    else:
        with pytest.raises(CircuitError, match="cannot be frozen"):
            build_graph(model, PROMPT, neurons, SETTINGS)


def test_parts_of_a_long_prompt_give_the_edges_of_the_whole(
    gpt2: LanguageModel, transcoders: list[Dictionary], monkeypatch: pytest.MonkeyPatch
) -> None:
    long = torch.cat([torch.zeros(1).long(), torch.arange(40, 60)])
    causes = causes_of(gpt2, long, wire(gpt2, transcoders))
    assert [run.tokens.shape[1] for run in causes.shorter] == [5, 10, 15]
    none = torch.empty(0, dtype=torch.int64)
    features = torch.arange(causes.begins[0], causes.begins[-1])
    last = causes.begins[3] - causes.begins[2]
    chosen = features[-last:]
    rows = [causes.rows(Targets(none, chosen[n : n + 1])) for n in range(last)]
    monkeypatch.setattr("sae_core.circuits.frozen.rows._LONG", 1000)
    whole = causes_of(gpt2, long, wire(gpt2, transcoders))
    assert not whole.shorter
    expected = whole.rows(Targets(none, chosen))
    torch.testing.assert_close(torch.cat(rows), expected, rtol=1e-3, atol=1e-5)
