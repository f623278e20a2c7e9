"""How much of SAELens' list of releases opens here, counted by its loaders.

    python -m benchmarks.loaders SAELENS/lib/python3.11/site-packages/sae_lens/pretrained_saes.yaml
    python -m benchmarks.loaders LIST --saelens SAELENS/bin/python

With `--saelens` files in each loader's format are written there by the tests' writers and opened by
SAELens' own loader, with a folder in place of the Hub, and by the reader here; stated are the
largest differences of activations and reconstructions in float64. What the list's entries hold is
not downloaded: an entry counts by its format.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from tests.sae_core.dictionaries.formats import release_writers, transcoder_writers, writers
from tests.sae_core.dictionaries.formats.cases import HOOK, activations
from tests.sae_core.dictionaries.formats.loaders import LOADERS
from tests.sae_core.dictionaries.formats.writers import D_IN, D_SAE, Written

_LLAMA = {"sparsity_include_decoder_norm": False, "expansion_factor": 1}  # SAELens' has no norms
_SCALE = D_IN**0.5 / 7.0  # of the tests' Llama Scope


class Sample(NamedTuple):
    """A file of one of SAELens' loaders.

    Attributes:
        repository: where SAELens believes that it is.
        inside: the path in there that SAELens' list has.
        write: writes it, given that place.
        scale: the factor of the input that the list has for it.
    """

    repository: str
    inside: str
    write: Callable[[Path], Written]
    scale: float | None = None


def _hanna(place: Path) -> Written:
    written = transcoder_writers.circuit_tracer(place.parent, config="model_name: tiny\n")
    sizes = {"d_model": D_IN, "d_feature": D_SAE, "batch_size": 64}
    lines = "".join(f"{name}:\n  value: {size}\n" for name, size in sizes.items())
    (place.parent / "wandb-config.yaml").write_text(lines)
    return written


GEMMA_2, GEMMA_3 = "google/gemma-scope-2b-pt", "google/gemma-scope-2-1b-pt"
SAMPLES: dict[str, list[Sample]] = {
    "gemma_3": [
        Sample(GEMMA_3, "resid_post/layer_1_a", lambda p: writers.gemma_scope(p, 2)),
        Sample(GEMMA_3, "transcoder/layer_1_a", lambda p: transcoder_writers.gemma_scope(p, 2)),
        Sample(
            GEMMA_3,
            "transcoder_all/layer_1_affine",
            lambda p: transcoder_writers.gemma_scope(p, 2, affine=True),
        ),
        Sample(GEMMA_3, "clt/a/layer_1", lambda p: transcoder_writers.gemma_scope_clt(p.parent, 1)),
    ],
    "gemma_2": [Sample(f"{GEMMA_2}-res", "layer_1/width_16k/a", writers.gemma_scope)],
    "gemma_2_transcoder": [
        Sample(f"{GEMMA_2}-transcoders", "layer_1/width_16k/a", transcoder_writers.gemma_scope)
    ],
    "dictionary_learning_1": [
        Sample("canrager/a", kind, lambda p: writers.learned(p, p.name))
        for kind in ("AutoEncoderTopK", "BatchTopKSAE", "MatryoshkaBatchTopKSAE")
    ],
    "qwen_scope": [
        Sample(
            "Qwen/SAE-Res-Qwen3-1.7B-Base-W32K-L0_5",
            "layer1.sae.pt",
            lambda p: release_writers.qwen_scope(p.parent),
        )
    ],
    "mwhanna_transcoder": [Sample("mwhanna/qwen3-4b", "layer_1.safetensors", _hanna)],
    "llama_scope": [
        Sample("fnlp/L", "a", lambda p: writers.llama_scope(p, **_LLAMA), _SCALE),
    ],
    "llama_scope_r1_distill": [
        Sample(
            "fnlp/R1",
            "a",
            lambda p: writers.llama_scope(p, newer=True, names="before", **_LLAMA),
            _SCALE,
        ),
    ],
    "mntss_clt_layer_transcoder": [
        Sample("mntss/clt", "1", lambda p: transcoder_writers.circuit_tracer_clt(p.parent))
    ],
    "connor_rob_hook_z": [Sample("ckkissane/a", "L1_Hcat_z.pt", release_writers.kissane)],
    "goodfire": [
        Sample(
            "Goodfire/Llama-3.1-8B-Instruct-SAE-l19",
            "Llama-3.1-8B-Instruct-SAE-l19.pth",
            lambda p: release_writers.linear_layers(p, "_linear"),
        )
    ],
    "deepseek_r1": [
        Sample("qresearch/a", "R1-SAE-l19.pt", lambda p: release_writers.linear_layers(p, ""))
    ],
    "sae_lens": [
        Sample("own/a", "topk", lambda p: writers.saelens(p, "topk")),
        Sample("own/a", "abstopk", release_writers.abstopk),
        Sample("own/a", "matching", release_writers.matching_pursuit),
    ],
}


def write(folder: Path) -> None:
    """In SAELens' environment: write every sample, and what SAELens makes of it."""
    number = 0
    for loader, samples in SAMPLES.items():
        for sample in samples:
            written = sample.write(folder / sample.repository / sample.inside)
            acts, y_hat = _by_saelens(loader, sample, folder)
            seen = folder / f"{number}.safetensors"
            save_file({"acts": acts.contiguous(), "y_hat": y_hat.contiguous()}, seen)
            line = {"loader": loader, "inside": sample.inside, "path": str(written.path)}
            print(json.dumps(line | {"seen": str(seen)}), flush=True)
            number += 1


def _by_saelens(loader: str, sample: Sample, hub: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Activations and reconstructions of SAELens' own loader, with a folder in place of the Hub."""
    from huggingface_hub.utils import EntryNotFoundError
    from sae_lens.loading import pretrained_sae_loaders as theirs
    from sae_lens.saes.sae import SAE

    def download(repo_id: str, filename: str, subfolder: str = "", **_: Any) -> str:
        path = hub / repo_id / subfolder / filename
        if not path.is_file():
            raise EntryNotFoundError(str(path))
        return str(path)

    def shapes(repo_id: str, filename: str) -> dict[str, list[int]]:
        with safe_open(hub / repo_id / filename, framework="pt") as file:
            return {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118

    theirs.hf_hub_download = download
    theirs.get_safetensors_tensor_shapes = shapes
    load = theirs.NAMED_PRETRAINED_SAE_LOADERS[loader]
    overrides = {"dtype": "float64"}
    config, state, _ = load(sample.repository, sample.inside, "cpu", False, overrides)
    config = theirs.handle_config_defaulting(config)
    d_sae, d_out = state["W_dec"].shape
    d_in = state["W_enc"].shape[0] if "W_enc" in state else d_out
    config |= {"d_in": d_in, "d_sae": d_sae, "dtype": "float64", "device": "cpu"}
    config |= {"d_out": d_out} if "transcoder" in config["architecture"] else {}
    config["reshape_activations"] = "none"  # heads side by side, as they are here
    build = SAE.get_sae_class_for_architecture(config["architecture"])
    configure = SAE.get_sae_config_class_for_architecture(config["architecture"])
    sae = build(configure.from_dict(config))
    state = {name: tensor.double() for name, tensor in state.items()}
    sae.process_state_dict_for_loading(state)
    sae.load_state_dict(state)
    if sample.scale is not None:
        sae.fold_activation_norm_scaling_factor(sample.scale)
    x = activations()
    with torch.no_grad():
        return sae.encode(x) / (sample.scale or 1.0), sae(x)


def compared(interpreter: str) -> Iterator[tuple[str, str, float]]:
    """Loader, path and the largest difference between SAELens' loader and the reader here."""
    from sae_core.dictionaries.formats.opening import open_dictionary

    with tempfile.TemporaryDirectory() as folder:
        command = [interpreter, __file__, "--write", folder]
        environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
        done = subprocess.run(
            command, check=True, stdout=subprocess.PIPE, text=True, env=environment
        )
        for line in filter(lambda line: line.startswith("{"), done.stdout.splitlines()):
            case = json.loads(line)
            seen, x = load_file(case["seen"]), activations()
            opened = open_dictionary(Path(case["path"]), hook_point=HOOK, dtype=torch.float64)
            acts, y_hat = opened.dictionary.encode(x), opened.dictionary(x)
            for rows in opened.dictionary.later_rows:  # SAELens adds up what all blocks receive
                y_hat = y_hat + acts @ rows
            if acts.shape[1] == 2 * seen["acts"].shape[1]:  # features of either sign are two here
                acts = acts[:, : acts.shape[1] // 2] - acts[:, acts.shape[1] // 2 :]
            off = max(
                float((acts - seen["acts"]).abs().max()),
                float((y_hat - seen["y_hat"]).abs().max()),
            )
            yield case["loader"], case["inside"], off


def table(listing: Path) -> Iterator[str]:
    """The lines of the table in docs/formats.md."""
    from sae_core.dictionaries.formats.opening import FORMATS
    from sae_core.files.releases import read_listing

    releases = read_listing(listing)
    entries: Counter[str] = Counter(dict.fromkeys(LOADERS, 0))
    for release in releases.values():
        entries[release.loader] += len(release.entries)
    yield "| SAELens' loader | entries | here | files in the tests |"
    yield "|---|---|---|---|"
    for loader, count in sorted(entries.items(), key=lambda item: -item[1]):
        reading = LOADERS.get(loader)
        if reading is None:
            yield f"| {loader} | {count:,} | not known | |"
        elif reading.format:
            here, cases = FORMATS[reading.format].title, len(reading.cases)
            yield f"| {loader} | {count:,} | {here} | {cases} |"
        else:
            yield f"| {loader} | {count:,} | refused: {reading.cases[0]} | |"
    opens = sum(n for name, n in entries.items() if name in LOADERS and LOADERS[name].format)
    total = entries.total()
    yield (
        f"| all {len(releases)} releases | {total:,} | {opens:,} open, {100 * opens / total:.2f} % "
        f"| {sum(len(reading.cases) for reading in LOADERS.values() if reading.format)} |"
    )


def main() -> int:
    """Print the table, and the differences where asked; 1 where they are large."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("listing", nargs="?", type=Path, help="SAELens' pretrained_saes.yaml")
    parser.add_argument("--saelens", metavar="PYTHON", help="of an environment with SAELens")
    parser.add_argument("--write", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.write is not None:
        write(options.write)
        return 0
    if options.listing is not None:
        print("\n".join(table(options.listing)))
    wrong = 0
    for loader, inside, off in compared(options.saelens) if options.saelens else ():
        wrong += off > 1e-11
        print(f"{loader:28} {inside:36} {off:8.1e}{'' if off <= 1e-11 else '  WRONG'}")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
