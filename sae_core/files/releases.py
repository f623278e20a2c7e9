"""Names that dictionaries go by: SAELens' releases, known by rules or from its own list."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from sae_core.files.flat_yaml import plain_value

_LAYER = r"(layer_\w+)"
FACTOR = "norm_scaling_factor"  # of the input: the list has one for some of its dictionaries


@dataclass(frozen=True)
class Release:
    """A release of dictionaries by the name that SAELens gives it.

    Attributes:
        repository: `owner/name` on the Hub.
        rule: a pattern of the release's own names, and the path it stands for; None: they are
            paths.
        overrides: settings that SAELens' list puts in place of the files' own.
    """

    repository: str
    rule: tuple[str, str] | None = None
    overrides: Mapping[str, Any] = field(default_factory=dict)

    def path(self, name: str) -> str | None:
        """Where in the repository; None where it has no such name."""
        if self.rule is None:
            return name
        match = re.fullmatch(self.rule[0], name)
        return match.expand(self.rule[1]) if match else None


def _known() -> dict[str, Release]:
    """The releases used most, by rules; SAELens' own list has them one by one."""
    centred = {"model_from_pretrained_kwargs": {"center_writing_weights": True}}
    known = {
        "gpt2-small-res-jb": Release("jbloom/GPT2-Small-SAEs-Reformatted", overrides=centred),
        "gpt2-small-res-jb-feature-splitting": Release(
            "jbloom/GPT2-Small-Feature-Splitting-Experiment-Layer-8", overrides=centred
        ),
        "gemma-2-9b-res-matryoshka-dc": Release(
            "chanind/gemma-2-9b-batch-topk-matryoshka-saes-w-32k-l0-60"
        ),
        "gemma-3-1b-res-matryoshka-dc": Release(
            "chanind/gemma-3-1b-batch-topk-matryoshka-saes-w-32k-l0-40"
        ),
    }
    places = {"attn-out": "attn_out", "mlp-out": "mlp_out"}
    places |= {"resid-mid": "resid_mid", "resid-post": "resid_post"}
    for place, kind in places.items():
        for size in ("32k", "128k"):
            end = ".pt" if (place, size) == ("resid-post", "32k") else ""
            known[f"gpt2-small-{place}-v5-{size}"] = Release(
                f"jbloom/GPT2-Small-OAI-v5-{size}-{place}-SAEs",
                (rf"blocks\.(\d+)\.hook_{kind}", rf"v5_{size}_layer_\1{end}"),
            )
    for short, kind in {"att": "attn_out", "mlp": "mlp_out", "res": "resid_post"}.items():
        known[f"pythia-70m-deduped-{short}-sm"] = Release(
            f"ctigges/pythia-70m-deduped__{short}-sm_processed",
            (rf"blocks\.(\d+)\.hook_{kind}", rf"\1-{short}-sm"),
        )
        for model in ("2b-pt", "9b-pt"):
            name = f"gemma-scope-{model}-{short}"
            known[name] = Release(f"google/{name}")
    return known | dict(_gemma_scopes()) | dict(_other_transcoders()) | dict(_single_files())


def _gemma_scopes() -> Iterator[tuple[str, Release]]:
    """Gemma Scope's transcoders, and its second edition."""
    yield "gemma-scope-2b-pt-transcoders", Release("google/gemma-scope-2b-pt-transcoders")
    folders = {"res": "resid_post", "att": "attn_out", "mlp": "mlp_out"}
    folders |= {"transcoders": "transcoder"}
    for size in ("270m", "1b", "4b", "12b", "27b"):
        for kind in ("pt", "it"):
            repository = f"google/gemma-scope-2-{size}-{kind}"
            for short, folder in folders.items():
                name = f"gemma-scope-2-{size}-{kind}-{short}"
                if f"{size}-{kind}" != "27b-pt" or short in ("res", "transcoders"):
                    yield f"{name}-all", Release(repository, (_LAYER, rf"{folder}_all/\1"))
                if f"{size}-{kind}" != "27b-pt" or short == "res":
                    own = f"{folder}/{_LAYER}" if short == "transcoders" else _LAYER
                    yield name, Release(repository, (own, rf"{folder}/\1"))


def _other_transcoders() -> Iterator[tuple[str, Release]]:
    """Michael Hanna's transcoders, and a cross-layer transcoder, layer by layer."""
    for name in ("4b", "8b", "14b", "14b{}-lowl0", "1.7b{}-lowl0", "0.6b{}-lowl0"):
        title = name.format("-transcoders") if "{}" in name else f"{name}-transcoders"
        layer = (r"layer_(\d+)", r"layer_\1.safetensors")
        yield f"mwhanna-qwen3-{title}", Release(f"mwhanna/qwen3-{title}", layer)
    clt = (r"layer_(\d+)", r"W_enc_\1.safetensors")
    yield "mntss-gemma-2-2b-2.5m-clt-as-per-layer", Release("mntss/clt-gemma-2-2b-2.5M", clt)


def _single_files() -> Iterator[tuple[str, Release]]:
    """Qwen Scope, Llama Scope, and those that are one file."""
    sizes = {
        "3-1.7B-Base": ("32K", 50, 100), "3-8B-Base": ("64K", 50, 100),
        "3-30B-A3B-Base": ("32K", 50), "3.5-2B-Base": ("32K", 50, 100),
        "3.5-9B-Base": ("64K", 50, 100), "3.5-27B": ("80K", 50, 100),
        "3.5-35B-A3B-Base": ("32K", 50),
    }  # fmt: skip
    groups = [(model, size, k) for model, (size, *ks) in sizes.items() for k in ks]
    groups += [("3-30B-A3B-Base", "128K", 100), ("3.5-35B-A3B-Base", "128K", 100)]
    for model, size, k in groups:
        name = f"qwen-scope-{model}-w{size}-l{k}".lower()
        file = (r"layer(\d+)", r"layer\1.sae.pt")
        yield name, Release(f"Qwen/SAE-Res-Qwen{model}-W{size}-L0_{k}", file)
    for place, short in (("A", "a"), ("M", "m"), ("R", "r")):
        for size in ("8x", "32x"):
            folder = (rf"l(\d+){short}_{size}", rf"Llama3_1-8B-Base-L\1{place}-{size}")
            repository = f"fnlp/Llama3_1-8B-Base-LX{place}-{size}"
            yield f"llama_scope_lx{short}_{size}", Release(repository, folder)
    for model, layer, end in (("3.3-70b", 50, ".pt"), ("3.1-8b", 19, ".pth")):
        name = f"Llama-{model.upper()}-Instruct-SAE-l{layer}"
        file = (f"layer_{layer}", f"{name}{end}")
        yield f"goodfire-llama-{model}-instruct", Release(f"Goodfire/{name}", file)
    name = "DeepSeek-R1-Distill-Llama-8B-SAE-l19"
    r1 = (r"blocks\.19\.hook_resid_post", f"{name}.pt")
    yield "deepseek-r1-distill-llama-8b-qresearch", Release(f"qresearch/{name}", r1)


RELEASES: Mapping[str, Release] = _known()


@dataclass(frozen=True)
class Listed:
    """A release as SAELens' own list has it.

    Attributes:
        repository: `owner/name` on the Hub.
        loader: which of SAELens' functions opens its dictionaries.
        overrides: settings that take the place of the files' own.
        entries: for each dictionary's name what the list says of it: `path` and, of some,
            `norm_scaling_factor`.
    """

    repository: str
    loader: str
    overrides: Mapping[str, Any]
    entries: Mapping[str, Mapping[str, Any]]

    def overrides_of(self, name: str) -> dict[str, Any]:
        """What takes the place of the settings in the files of one of its dictionaries."""
        factor = self.entries[name].get(FACTOR)
        return dict(self.overrides) | ({} if factor is None else {FACTOR: factor})


def listed_by_saelens(release: str) -> Listed | None:
    """A release from SAELens' own list, where SAELens is installed; it is not imported."""
    spec = importlib.util.find_spec("sae_lens")
    for place in (spec.submodule_search_locations or []) if spec else []:
        listing = Path(place) / "pretrained_saes.yaml"
        if listing.is_file():
            return read_listing(listing).get(release)
    return None


@cache
def read_listing(listing: Path) -> dict[str, Listed]:
    """SAELens' list of releases, by their names.

    It is YAML of one plain shape, in which a line is enough to say what it is, and its depth where
    that belongs.
    """
    releases: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in listing.read_text(encoding="utf-8").splitlines():
        if line[:1] not in (" ", "-", "#", ""):
            releases[line.partition(":")[0]] = lines = []
        else:
            lines.append(line)
    return {name: _listed(lines) for name, lines in releases.items()}


def _listed(lines: list[str]) -> Listed:
    """One release, from the lines below its name."""
    plain: dict[str, Any] = {}
    entries: list[dict[str, Any]] = []
    overrides: dict[str, Any] = {}
    inside: list[tuple[int, dict[str, Any]]] = []  # of config_overrides, with their depths
    for line in lines:
        key, _, word = line.lstrip(" -").partition(":")
        word = word.strip()
        depth = len(line) - len(line.lstrip(" "))
        while inside and depth <= inside[-1][0]:
            inside.pop()
        if key == "config_overrides":
            inside = [(depth, overrides)]
        elif inside:
            below: dict[str, Any] = {}
            inside[-1][1][key] = plain_value(word) if word else below
            inside.append((depth, below))
        elif line.lstrip(" ").startswith("- "):
            entries.append({key: plain_value(word)})
        elif entries:
            entries[-1][key] = plain_value(word)
        else:
            plain[key] = plain_value(word)
    return Listed(
        str(plain.get("repo_id", "")),
        str(plain.get("conversion_func") or "sae_lens"),
        overrides,
        {str(entry.get("id")): entry for entry in entries},
    )
