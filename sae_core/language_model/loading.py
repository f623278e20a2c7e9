"""The weights of a Hugging Face folder as the library's own model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from sae_core.errors import ModelError

_FAILURES = (OSError, ValueError, KeyError, RuntimeError, ImportError, AttributeError, TypeError)
_SHORT = 300


def read_module(path: Path, dtype: torch.dtype) -> tuple[Any, list[str]]:
    """The Hugging Face model, and the names of tensors that its files lack.

    A model that reads pictures too is opened whole; its text model is what is used.

    Raises:
        ModelError: the library cannot open it, or it predicts no next token.
    """
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText
    from transformers.utils import logging

    bars: Any = logging
    shown = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()
    try:
        config: Any = AutoConfig.from_pretrained(
            path, local_files_only=True, trust_remote_code=False
        )
        if getattr(config, "is_encoder_decoder", False):
            raise ModelError(
                f"{path} is an encoder with a decoder ({_named(config)}): Featurescope reads "
                "decoder-only language models, such as GPT-2 and Llama."
            )
        kinds: list[Any] = [AutoModelForCausalLM, AutoModelForImageTextToText]
        fitting = [kind for kind in kinds if type(config) in kind._model_mapping]
        if not fitting:
            raise ModelError(
                f"{path} holds a {_named(config)}, which the transformers library opens as no "
                "language model: Featurescope reads decoder-only models, such as GPT-2 and Llama."
            )
        # The library's one product for all experts computes in float32 at most.
        experts = {"experts_implementation": "eager"} if dtype is torch.float64 else {}
        loaded: Any = fitting[0].from_pretrained(
            path,
            dtype=dtype,
            **experts,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    except (*_FAILURES, SafetensorError) as error:
        reason = str(error)
        reason = reason if len(reason) <= _SHORT else f"{reason[: _SHORT - 1]}…"
        raise ModelError(f"{path} cannot be loaded: {reason}") from error
    finally:
        if shown:
            bars.enable_progress_bar()
    module, report = loaded
    return module, sorted(report["missing_keys"])


def _named(config: Any) -> str:
    names = getattr(config, "architectures", None) or [type(config).__name__]
    return str(names[0])
