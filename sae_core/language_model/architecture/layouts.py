"""Where an architecture keeps its parts: known, told by transformer_lens, or found by likeness."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import nn

from sae_core.errors import ModelError
from sae_core.language_model.hook_point import (
    KNOWN_LAYOUTS,
    READ_ONLY,
    HookKind,
    HookSite,
    Layout,
    Side,
)

_LIKENESS = "LlamaForCausalLM"
_DOWN = "down_proj"  # what neurons write through in models of that likeness


def layout_of(module: Any) -> Layout:
    """The layout of a model.

    Raises:
        ModelError: nobody knows it.
    """
    name = type(module).__name__
    if (known := KNOWN_LAYOUTS.get(name)) is not None:
        return known
    try:
        return layout_by_transformer_lens(module)
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        if (alike := _by_likeness(module)) is not None:
            return alike
        reason = " ".join(str(error).split())
        reason = reason if len(reason) <= 160 else f"{reason[:159]}…"
        raise ModelError(
            f"transformer_lens does not know how {name} is built ({reason}): Featurescope reads "
            "decoder-only models that transformer_lens supports, GPT-2 and Llama among them."
        ) from error


def layout_by_transformer_lens(module: Any) -> Layout:
    """What transformer_lens' adapter says."""
    from transformer_lens.factories.architecture_adapter_factory import ArchitectureAdapterFactory
    from transformer_lens.model_bridge.sources._bridge_builder import build_bridge_config_from_hf

    name = type(module).__name__
    config = build_bridge_config_from_hf(module.config, name, name, module.dtype)
    components = ArchitectureAdapterFactory.select_architecture_adapter(
        config
    ).get_component_mapping()
    block = components["blocks"]
    raw = (HookKind.ATTN_RAW, HookKind.MLP_RAW)
    usual: list[HookKind] = [kind for kind in HookKind if kind not in {*raw, *READ_ONLY}]
    found = {kind: _site_of_alias(block, kind) for kind in usual}
    sites = {kind: site for kind, site in found.items() if site is not None}
    blocks, mlp = str(block.name), _name_of(block, "mlp")
    if sites.get(HookKind.POST) == HookSite(mlp, Side.OUTPUT):
        # The adapter speaks of experts; some blocks of such models are plain all the same.
        own = f"{mlp}.{_DOWN}"
        if any(_has(part, own) for part in module.get_submodule(blocks)):
            sites[HookKind.POST] = HookSite(own, Side.INPUT)
    return with_raw_outputs(
        Layout(
            blocks=blocks,
            attention=_name_of(block, "attn"),
            final_norm=_name_in(components, "ln_final"),
            unembedding=str(components["unembed"].name),
            sites=sites,
            mlp=mlp,
        )
    )


def with_raw_outputs(layout: Layout) -> Layout:
    """A layout that names the modules' outputs too, where those are not added as they are."""
    sites = dict(layout.sites)
    for raw, added, path in (
        (HookKind.ATTN_RAW, HookKind.ATTN_OUT, layout.attention),
        (HookKind.MLP_RAW, HookKind.MLP_OUT, layout.mlp),
    ):
        own = HookSite(path, Side.OUTPUT)
        if path and sites.get(added) != own:
            sites[raw] = own
    return replace(layout, sites=sites)


def _name_in(components: Any, name: str) -> str:
    return str(components[name].name) if name in components and components[name].name else ""


def _name_of(block: Any, name: str) -> str:
    component = block.submodules.get(name)
    return str(component.name) if component is not None and component.name else ""


def _site_of_alias(block: Any, name: str) -> HookSite | None:
    """Follow transformer_lens' aliases from a block to the end of one of its modules."""
    component, path, rest = block, list[str](), name
    for _ in range(8):
        if rest in ("hook_in", "hook_out"):
            if component.name is None:
                return None
            return HookSite(".".join(path), Side.INPUT if rest == "hook_in" else Side.OUTPUT)
        head, _, tail = rest.partition(".")
        if tail and head in component.submodules:
            component, rest = component.submodules[head], tail
            path += [component.name] if component.name else []
        elif isinstance(component.hook_aliases.get(rest), str):
            rest = component.hook_aliases[rest]
        else:
            return None
    return None


def _by_likeness(module: Any) -> Layout | None:
    """The layout of Llama, at whatever place the text model has, as far as its parts are there.

    What it says is held to the model's own forward pass when the model is loaded.
    """
    like = KNOWN_LAYOUTS[_LIKENESS]
    own, _, end = like.blocks.rpartition(".")
    for path, part in module.named_modules():
        blocks = getattr(part, end, None)
        if not isinstance(blocks, nn.ModuleList) or not len(blocks) or not hasattr(part, "norm"):
            continue
        if any(word in path for word in ("vision", "visual", "audio", "encoder")):
            continue
        first = blocks[0]
        sites = {k: s for k, s in like.sites.items() if not s.path or _has(first, s.path)}
        root = f"{path}." if path else ""
        if HookKind.MLP_OUT not in sites or not _has(module, like.unembedding):
            continue
        return Layout(
            blocks=f"{root}{end}",
            attention=like.attention if _has(first, like.attention) else "",
            final_norm=f"{root}{like.final_norm.removeprefix(f'{own}.')}",
            unembedding=like.unembedding,
            sites=sites,
            mlp=like.mlp,
        )
    return None


def _has(module: nn.Module, path: str) -> bool:
    try:
        module.get_submodule(path)
    except AttributeError:
        return False
    return True
