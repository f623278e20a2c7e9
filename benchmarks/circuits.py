"""Attribution graphs beside circuit-tracer's, and by length:
`python -m benchmarks.circuits [--lengths 16,64,256] [--upstream PYTHON --source FOLDER]`, minutes.

A random Llama (RMS norms, rotary positions) and random transcoders of every block, TopK as
circuit-tracer's own tests have them. Each graph is built in a process of its own, whose processor
seconds and peak memory above what it held before are counted. With `--upstream` (the Python of an
environment with transformer_lens 2) and `--source` (a checkout of circuit-tracer) that builds the
same graphs, and nodes and edges are compared.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

LAYERS, WIDTH, HEADS, D_SAE, ACTIVE, VOCABULARY = 6, 256, 4, 2048, 32, 300


def make(folder: Path) -> None:
    """Write the model and the transcoders' weights."""
    import torch
    from tokenizers import Tokenizer, models
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        intermediate_size=4 * WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=HEADS,
        max_position_embeddings=2048,
        bos_token_id=0,
        eos_token_id=0,
        tie_word_embeddings=False,
        rms_norm_eps=1e-5,
    )
    model = LlamaForCausalLM(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(3)
    model.save_pretrained(folder)
    words = {"<s>": 0} | {f"w{n}": n for n in range(1, VOCABULARY)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<s>"))
    tokenizer.add_special_tokens(["<s>"])
    tokenizer.save(str(folder / "tokenizer.json"))
    shapes = {
        "W_enc": (WIDTH, D_SAE),
        "W_dec": (D_SAE, WIDTH),
        "b_enc": (D_SAE,),
        "b_dec": (WIDTH,),
    }
    weights = {
        f"{layer}.{name}": 0.05 * torch.randn(shape)
        for layer in range(LAYERS)
        for name, shape in shapes.items()
    }
    torch.save(weights, folder / "transcoders.pt")


def tokens_of(length: int) -> list[int]:
    draw = np.random.default_rng(length)
    return [0, *draw.integers(1, VOCABULARY, length - 1).tolist()]


def ours(folder: Path, length: int, most: int, out: Path) -> None:
    """Build a graph here."""
    import torch

    from sae_core.circuits.build import build_graph
    from sae_core.circuits.settings import GraphSettings
    from sae_core.dictionaries.architectures.topk import TopKDictionary
    from sae_core.dictionaries.dictionary import Output
    from sae_core.language_model.model import load_model

    torch.set_num_threads(1)
    weights = torch.load(folder / "transcoders.pt", weights_only=True)
    dictionaries = []
    for layer in range(LAYERS):
        output = Output(f"blocks.{layer}.hook_mlp_out", WIDTH)
        read = f"blocks.{layer}.mlp.hook_in"
        own = TopKDictionary(read, WIDTH, D_SAE, ACTIVE, False, False, output)
        own.load_state_dict({name: weights[f"{layer}.{name}"] for name in own.state_dict()})
        dictionaries.append(own.requires_grad_(False))
    model = load_model(folder)
    settings = GraphSettings(max_nodes=most, max_edges=5_000_000, memory=8 << 30)
    before, begin = _peak(), time.process_time()
    graph = build_graph(model, torch.tensor(tokens_of(length)), dictionaries, settings)
    seconds, peak = time.process_time() - begin, _peak() - before
    nodes, edges = graph.nodes, graph.edges
    np.savez(
        out, kind=nodes.kind, layer=nodes.layer, position=nodes.position, index=nodes.index,
        source=edges.source, target=edges.target, weight=edges.weight, figures=[seconds, peak],
    )  # fmt: skip


UPSTREAM = """
import json, resource, sys, time
import numpy as np, torch
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast
from transformer_lens import HookedTransformerConfig, utils
from transformer_lens.pretrained.weight_conversions import convert_llama_weights
from circuit_tracer.attribution import attribute
from circuit_tracer.replacement_model import ReplacementModel
from circuit_tracer.transcoder import SingleLayerTranscoder
from circuit_tracer.transcoder.activation_functions import TopK

a = json.loads(sys.argv[1])
utils.get_tokenizer_with_bos = lambda tokenizer: tokenizer  # it asks for a name on the Hub
torch.set_num_threads(1)
cfg = HookedTransformerConfig(
    n_layers=a["LAYERS"], d_model=a["WIDTH"], n_ctx=2048, d_head=a["WIDTH"] // a["HEADS"],
    n_heads=a["HEADS"], n_key_value_heads=a["HEADS"], d_mlp=4 * a["WIDTH"], d_vocab=a["VOCABULARY"],
    act_fn="silu", eps=1e-5, normalization_type="RMS", positional_embedding_type="rotary",
    rotary_dim=a["WIDTH"] // a["HEADS"], rotary_base=10000, rotary_adjacent_pairs=False,
    gated_mlp=True, final_rms=True, original_architecture="LlamaForCausalLM", device="cpu",
    init_weights=False, tokenizer_prepends_bos=False, default_prepend_bos=False)
weights = torch.load(a["folder"] + "/transcoders.pt", weights_only=True)
coders = {}
for n in range(cfg.n_layers):
    coders[n] = SingleLayerTranscoder(cfg.d_model, a["D_SAE"], TopK(a["ACTIVE"]), n)
    names = ("W_enc", "W_dec", "b_enc", "b_dec")
    coders[n].load_state_dict({k: weights[f"{n}.{k}"] for k in names})
plain = LlamaForCausalLM.from_pretrained(a["folder"]).eval()
tokenizer = PreTrainedTokenizerFast(tokenizer_file=a["folder"] + "/tokenizer.json", bos_token="<s>")
model = ReplacementModel.from_config(cfg, coders, tokenizer=tokenizer)
state = convert_llama_weights(plain, cfg)
renamed = {}
for name, value in state.items():
    if ".mlp." in name:
        name = name.replace(".mlp.", ".mlp.old_mlp.")
    if name.startswith("unembed."):
        name = name.replace("unembed.", "unembed.old_unembed.")
    renamed[name] = value
missing, unexpected = model.load_state_dict(renamed, strict=False)
assert not unexpected, unexpected[:5]
tokens = torch.tensor([a["tokens"]])
with torch.no_grad():
    off = float((model(tokens) - plain(tokens).logits).abs().max())
assert off < 1e-3, off
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
before, begin = peak(), time.process_time()
graph = attribute(tokens, model, max_feature_nodes=a["most"], batch_size=a["batch"])
seconds, used = time.process_time() - begin, peak() - before
chosen = graph.active_features[graph.selected_features]
np.savez(a["out"], features=chosen.numpy(), matrix=graph.adjacency_matrix.numpy(),
         logits=np.array(graph.logit_tokens), figures=[seconds, used])
"""


def theirs(python: str, source: str, folder: Path, length: int, most: int, out: Path) -> None:
    """Build a graph with circuit-tracer."""
    sizes = {name: globals()[name] for name in ("LAYERS", "WIDTH", "HEADS", "D_SAE", "ACTIVE")}
    asked = {
        **sizes, "VOCABULARY": VOCABULARY, "folder": str(folder), "tokens": tokens_of(length),
        "most": most, "batch": 256, "out": str(out),
    }  # fmt: skip
    variables = {
        **os.environ,
        "PYTHONPATH": source,
        "HF_HUB_OFFLINE": "1",
        "CUDA_VISIBLE_DEVICES": "",
    }
    subprocess.run([python, "-c", UPSTREAM, json.dumps(asked)], check=True, env=variables)


def compared(own: Any, other: Any, length: int) -> dict[str, float]:
    """Which features are in both graphs, and how far the edges among these are apart."""
    mine = {
        (int(layer), int(position), int(index)): n
        for n, (kind, layer, position, index) in enumerate(
            zip(own["kind"], own["layer"], own["position"], own["index"], strict=True)
        )
        if kind == 1
    }
    matrix = np.zeros((len(own["kind"]), len(own["kind"])), dtype=np.float32)
    matrix[own["target"], own["source"]] = own["weight"]
    yours = [tuple(row) for row in other["features"].tolist()]
    both = [(mine[key], n) for n, key in enumerate(yours) if key in mine]
    a, b = (np.array(column) for column in zip(*both, strict=True))
    logits = {int(own["index"][n]): n for n in np.flatnonzero(own["kind"] == 3)}
    size, n_features = len(other["matrix"]), len(yours)
    ends = [size - len(other["logits"]) + n for n in range(len(other["logits"]))]
    rows_a = np.append(a, [logits[int(token)] for token in other["logits"]])
    rows_b = np.append(b, ends)
    tokens_b = n_features + LAYERS * length + np.arange(length)
    first = np.flatnonzero(own["kind"] == 0)
    columns_a, columns_b = np.append(a, first), np.append(b, tokens_b)
    x = matrix[np.ix_(rows_a, columns_a)].astype(np.float64)
    y = other["matrix"][np.ix_(rows_b, columns_b)].astype(np.float64)
    largest = np.abs(y).max(axis=1, keepdims=True)
    return {
        "in both": len(both),
        "in theirs": n_features,
        "in ours": len(mine),
        "largest difference of the row's largest edge": float((np.abs(x - y) / largest).max()),
    }


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    """Print seconds and peak memory by length."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lengths", default="16,64,256")
    parser.add_argument("--most", type=int, default=4096, help="features in a graph")
    parser.add_argument("--upstream", help="Python of an environment with transformer_lens 2")
    parser.add_argument("--source", help="checkout of circuit-tracer")
    parser.add_argument("--build", nargs=3, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.build:
        folder, length, out = chosen.build
        ours(Path(folder), int(length), chosen.most, Path(out))
        return
    print(f"{platform.processor() or platform.machine()}, one thread, float32")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(folder)
        for length in map(int, chosen.lengths.split(",")):
            out = folder / f"ours-{length}.npz"
            build = [str(folder), str(length), str(out)]
            command = [sys.executable, "-m", "benchmarks.circuits", "--most", str(chosen.most)]
            subprocess.run([*command, "--build", *build], check=True)
            own = np.load(out)
            seconds, peak = own["figures"]
            print(f"{length:5} tokens   ours {seconds:7.1f} s {peak / 2**20:7,.0f} MiB", flush=True)
            if chosen.upstream and chosen.source:
                other_out = folder / f"theirs-{length}.npz"
                arguments = (chosen.upstream, chosen.source, folder, length, chosen.most)
                theirs(*arguments, other_out)
                other = np.load(other_out)
                slower, larger = other["figures"] / own["figures"]
                seconds, peak = other["figures"]
                print(
                    f"      circuit-tracer {seconds:7.1f} s {peak / 2**20:7,.0f} MiB, "
                    f"{slower:.1f} times as long, {larger:.1f} times the memory; "
                    f"{compared(own, other, length)}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
