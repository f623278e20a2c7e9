"""Sets of nodes kept and taken out, against plain hooks and against random sets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from sae_core.circuits.build import build_graph
from sae_core.circuits.faithfulness import faithfulness
from sae_core.circuits.graph import Graph
from sae_core.circuits.settings import GraphSettings
from sae_core.dictionaries.architectures.neurons import NeuronBasis
from sae_core.dictionaries.dictionary import Dictionary
from sae_core.errors import CircuitError
from sae_core.language_model.model import LanguageModel
from tests.sae_core.circuits.test_build import PROMPT, SETTINGS
from tests.sae_core.circuits.test_edges import transcoder


@pytest.fixture(scope="module")
def transcoders() -> list[Dictionary]:
    return [transcoder(layer, skip=layer == 1) for layer in range(3)]


@pytest.fixture(scope="module")
def graph(gpt2: LanguageModel, transcoders: list[Dictionary]) -> Graph:
    return build_graph(gpt2, PROMPT, transcoders, SETTINGS)


def metric(logits: Tensor, graph: Graph) -> float:
    ids = torch.from_numpy(graph.nodes.index[graph.targets])
    return float(logits[ids[0]] - logits[ids[1:]].mean())


def writing(
    dictionary: Dictionary, clean: Tensor, output: Tensor, writes: Callable[[int, int], bool]
) -> Callable[[object, tuple[Tensor], Tensor], Tensor]:
    """A hook of an MLP that writes some features, the clean error, and nothing else."""

    def hook(_: object, args: tuple[Tensor], __: Tensor) -> Tensor:
        x = args[0][0]
        acts = dictionary.encode(x)
        for position in range(len(x)):
            for feature in range(dictionary.d_sae):
                if not writes(position, feature):
                    acts[position, feature] = 0
        error = output - dictionary.decode(dictionary.encode(clean), clean)
        y = error + dictionary.decode(acts, x)
        skipped = dictionary.offset(x)[0] - dictionary.offset(clean)[0]
        y[0] = output[0] + (skipped if dictionary.output and dictionary.output.skip else 0)
        return y[None]

    return hook


def by_hooks(
    model: LanguageModel, dictionaries: list[Dictionary], kept: set[tuple[int, int, int]] | None
) -> Tensor:
    """Logits with only some features at positions writing; None: the model as it is."""
    handles = []
    for n, dictionary in enumerate(dictionaries):
        clean, output = (
            model.capture(PROMPT[None], model.hook_point(f"blocks.{n}.{name}"))[0]
            for name in ("mlp.hook_in", "hook_mlp_out")
        )
        hook = writing(
            *(dictionary, clean, output),
            lambda position, feature, n=n: kept is not None and (n, position, feature) in kept,
        )
        handles.append((n, hook))
    registered = []
    if kept is not None:
        registered = [
            model.module.transformer.h[n].mlp.register_forward_hook(hook) for n, hook in handles
        ]
    with torch.no_grad():
        logits: Tensor = model.module(PROMPT[None]).logits[0, -1]
    for handle in registered:
        handle.remove()
    return logits


def test_faithfulness_is_that_of_plain_hooks(
    gpt2: LanguageModel, transcoders: list[Dictionary], graph: Graph
) -> None:
    one = replace(SETTINGS, max_nodes=9)
    few = build_graph(gpt2, PROMPT, transcoders, one)
    result = faithfulness(gpt2, transcoders, [few], (0, 9), draws=1)
    nodes = few.nodes
    features = np.flatnonzero(nodes.kind == 1)
    kept = {(int(nodes.layer[n]), int(nodes.position[n]), int(nodes.index[n])) for n in features}
    whole, none, own = (
        metric(by_hooks(gpt2, transcoders, some), few) for some in (None, set(), kept)
    )
    assert result.gap[0] == pytest.approx(whole - none, rel=1e-3)
    assert result.kept[0, 1] == pytest.approx((own - none) / (whole - none), abs=1e-3)
    np.testing.assert_allclose([result.kept[0, 0], result.removed[0, 0]], 0, atol=1e-5)


def test_all_features_of_a_prompt_are_the_model(
    gpt2: LanguageModel, transcoders: list[Dictionary], graph: Graph
) -> None:
    seen: list[tuple[int, int]] = []
    result = faithfulness(
        *(gpt2, transcoders, [graph, graph], (5, 10_000), 2),
        on_progress=lambda *done: seen.append(done),
    )
    assert seen == [(1, 2), (2, 2)]
    # All that fire in the clean pass: others do not fire as long as these write.
    np.testing.assert_allclose(result.random_kept[:, 1], 1, atol=1e-4)
    low, high = result.interval(result.kept)
    assert low.shape == high.shape == (2,)
    np.testing.assert_allclose(low, result.kept[0])


def test_neurons_and_features_as_targets(
    gpt2: LanguageModel, transcoders: list[Dictionary], graph: Graph
) -> None:
    names = [f"blocks.{n}.mlp.hook_post" for n in range(3)]
    neurons: list[Dictionary] = [NeuronBasis(name, gpt2.hook_point(name).d_in) for name in names]
    graph = build_graph(gpt2, PROMPT, neurons, GraphSettings(max_logits=1, max_nodes=50))
    result = faithfulness(gpt2, neurons, [graph], (50,), draws=1)
    assert np.isfinite(result.kept).all()
    nodes = graph.nodes
    n = int(np.flatnonzero((nodes.kind == 1) & (nodes.layer == 2))[0])
    target = (int(nodes.place[n]), int(nodes.position[n]), int(nodes.index[n]))
    own = build_graph(gpt2, PROMPT, neurons, GraphSettings(target_features=(target,), max_nodes=50))
    assert np.isfinite(faithfulness(gpt2, neurons, [own], (20,), draws=1).kept).all()
    with pytest.raises(CircuitError, match="does not fire"):
        faithfulness(gpt2, transcoders, [own], (20,))
