"""What is done with every setting that a dictionary's files may carry, whatever their format.

A setting changes what a dictionary is given, or what it computes, or neither. So each one that a
known format writes is in one of four lists, and whatever is in none of them is shown to the user:

    used      a reader acts on it,
    refused   only some of its values can be honoured; any other is an error,
    noted     nothing is computed otherwise, but those who read the figures are told,
    harmless  it tells how the training went, and decides nothing of what a feature is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from sae_core.errors import CheckpointError

_NONE: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class Refusal:
    """A setting of which only some values can be honoured.

    Attributes:
        allowed: those values; None is always one of them.
        why: what any other one would mean, as the end of a sentence.
    """

    allowed: tuple[Any, ...]
    why: str


@dataclass(frozen=True)
class Kind:
    """What a setting's value has to be, where it is not null.

    Attributes:
        fits: whether a value is that.
        what: what it is, as the end of a sentence.
    """

    fits: Callable[[Any], bool]
    what: str


@dataclass(frozen=True)
class KnownSettings:
    """The settings of one format, or of one part of its file.

    Attributes:
        used: names of those that a reader acts on.
        harmless: names of those that decide nothing.
        refused: those of which only some values are honoured.
        noted: what to tell the user of a value; an empty sentence where there is nothing to say.
        parts: settings that hold settings.
        kinds: what a value has to be, whichever list the setting is in.
    """

    used: frozenset[str] = frozenset()
    harmless: frozenset[str] = frozenset()
    refused: Mapping[str, Refusal] = field(default_factory=lambda: _NONE)
    noted: Mapping[str, Callable[[Any], str]] = field(default_factory=lambda: _NONE)
    parts: Mapping[str, KnownSettings] = field(default_factory=lambda: _NONE)
    kinds: Mapping[str, Kind] = field(default_factory=lambda: _NONE)


@dataclass(frozen=True)
class Sifted:
    """What is left to say of a file's settings.

    Attributes:
        unknown: those that no list has, as `name = value`.
        notes: sentences for those who read the dictionary's figures.
    """

    unknown: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def sift(values: Mapping[str, Any], known: KnownSettings, path: Path, inside: str = "") -> Sifted:
    """Sort the settings of a file.

    Args:
        values: the settings.
        known: what is known of them.
        path: their file, for sentences.
        inside: names of the parts that they lie in, each with a full stop.

    Raises:
        CheckpointError: a value cannot be honoured.
    """
    unknown: list[str] = []
    notes: list[str] = []
    for name, value in values.items():
        kind = known.kinds.get(name)
        if kind is not None and value is not None and not kind.fits(value):
            raise CheckpointError(f"{path} says {inside}{name} = {value!r}, not {kind.what}.")
        if (part := known.parts.get(name)) is not None and isinstance(value, Mapping):
            below = sift(value, part, path, f"{inside}{name}.")
            unknown += below.unknown
            notes += below.notes
        elif (refusal := known.refused.get(name)) is not None:
            if value is not None and value not in refusal.allowed:
                raise CheckpointError(f"{path} says {inside}{name} = {value!r}: {refusal.why}.")
        elif (note := known.noted.get(name)) is not None:
            notes += [sentence] if (sentence := note(value)) else []
        elif name not in known.used | known.harmless | set(known.parts):
            unknown.append(f"{inside}{name} = {_short(value)}")
    return Sifted(tuple(unknown), tuple(notes))


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:59]}…"


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_slice(value: Any) -> bool:
    numbers = value if isinstance(value, list) and len(value) <= 3 else [""]
    return all(number is None or _is_whole(number) for number in numbers)


def _is_list_of_tokens(value: Any) -> bool:
    return isinstance(value, bool) or (
        isinstance(value, list) and all(_is_whole(token) for token in value)
    )


def _is_dtype(value: Any) -> bool:
    return str(value).removeprefix("torch.") in ("float64", "float32", "bfloat16", "float16")


def _positions(value: Any) -> str:
    """On which positions of a context SAELens trained: Python's slice, as a list."""
    if not value:
        return ""
    first, last = (value[0], value[1]) if len(value) > 1 else (None, value[0])
    step = value[2] if len(value) > 2 else None
    if first in (None, 0) and last is None and step in (None, 1):
        return ""
    return (
        f"It was trained on positions {first or 0} to {'the end' if last is None else last} of a "
        f"context{f', every {step},' if step not in (None, 1) else ''} alone (seqpos_slice): on "
        "others it was never trained, and what it says there is a guess."
    )


def _tokens(value: Any) -> str:
    if isinstance(value, bool) or not value:
        return ""  # all special tokens or none: they are left out of every figure here anyway
    return (
        f"It was never trained on {len(value)} tokens (exclude_special_tokens: {_short(value)}): "
        "what it says of them, where they are no special tokens, is a guess."
    )


def _checkpoint(value: Any) -> str:
    if value is None:
        return ""
    return f"It was trained on the checkpoint {value!r} of its model: check --revision."


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# How TransformerLens was asked to load and change the model that activations came from.
_MODEL_KWARGS = KnownSettings(
    used=_words("center_writing_weights fold_value_biases refactor_factored_attn_matrices"),
    # Folding a norm's weight into what follows it, or centring the unembedding, changes no
    # activation at any hook point here.
    harmless=_words(
        "fold_ln center_unembed dtype torch_dtype device device_map n_devices move_to_device "
        "trust_remote_code default_prepend_bos default_padding_side n_ctx first_n_layers hf_model "
        "tokenizer local_files_only cache_dir attn_implementation low_cpu_mem_usage token "
        "use_safetensors"
    ),
    noted={
        "revision": _checkpoint,
        "checkpoint_index": _checkpoint,
        "checkpoint_value": _checkpoint,
    },
)

_TRAINING = _words(
    # names and places
    "model_name model_class_name dataset_path dataset_trust_remote_code streaming neuronpedia_id "
    "is_dataset_tokenized use_chat_formatting use_cached_activations cached_activations_path "
    "from_pretrained_path output_path checkpoint_path resume_from_checkpoint run_name verbose "
    "sae_lens_version sae_lens_training_version sae_name model_kwargs hook_eval "
    "hook_layer hook_point_layer hook_point_eval tokens_per_buffer lm_name saelens_version "
    "dataset_name name creation_date author description release sae_id id set "
    # batches and buffers
    "n_batches_in_buffer training_tokens finetuning_tokens total_training_tokens "
    "total_training_steps total_training_samples train_batch_size_samples "
    "store_batch_size_prompts store_batch_size train_batch_size train_batch_size_tokens "
    "activations_mixing_fraction disable_concat_sequences sequence_separator_token "
    "prefetch_llm_batches eval_batch_size_prompts n_eval_batches n_eval_seqs "
    "n_batches_for_norm_estimate "
    # where and how fast
    "device llm_device act_store_device autocast autocast_lm compile_llm llm_compilation_mode "
    "compile_sae sae_compilation_mode seed expansion_factor d_sae_expansion "
    # the optimiser and its losses
    "adam_beta1 adam_beta2 lr lr_scheduler_name lr_warm_up_steps lr_end lr_decay_steps "
    "n_restart_cycles l1_coefficient l1_warm_up_steps lp_norm l0_coefficient l0_warm_up_steps "
    "l0_lambda mse_loss_normalization normalize_sae_decoder noise ghost_grad use_ghost_grads "
    "scale_sparsity_penalty_by_decoder_norm b_dec_init_method decoder_orthogonal_init "
    "decoder_heuristic_init decoder_heuristic_init_norm decoder_init_norm "
    "init_encoder_as_decoder_transpose feature_sampling_method feature_sampling_window "
    "feature_reinit_scale dead_feature_window dead_feature_threshold "
    "dead_feature_estimation_method "
    "finetuning_method jumprelu_init_threshold jumprelu_bandwidth jumprelu_sparsity_loss_mode "
    "jumprelu_tanh_scale jumprelu_ste_to_input pre_act_loss_coefficient target_l0 "
    "aux_loss_coefficient use_sparse_activations topk_threshold_lr matryoshka_widths "
    "use_matryoshka_aux_loss training_architecture architecture_training l0 num_dead_features "
    "resample_batches "
    # logs
    "log_to_wandb log_activations_store_to_wandb log_optimizer_state_to_wandb log_weights_to_wandb "
    "wandb_project wandb_id wandb_entity wandb_log_frequency eval_every_n_wandb_logs logger "
    "wandb_group_name n_checkpoints save_final_checkpoint final_l0 n_dead_features"
)

_PLACE: Mapping[str, Refusal] = {
    "hook_head_index": Refusal(
        (),
        "it was trained on one attention head alone; use a dictionary of all heads together "
        "(attn.hook_z)",
    ),
    "hook_point_head_index": Refusal((), "it was trained on one attention head alone"),
    "hook_head_index_out": Refusal((), "it was trained to write one attention head alone"),
}

_SAELENS_METADATA = KnownSettings(
    used=_words("hook_name hook_name_out hf_hook_name prepend_bos context_size"),
    harmless=_TRAINING | _words("hf_hook_name_out architecture"),
    refused=_PLACE,
    noted={"seqpos_slice": _positions, "exclude_special_tokens": _tokens},
    parts={"model_from_pretrained_kwargs": _MODEL_KWARGS},
    kinds={
        "prepend_bos": Kind(lambda value: isinstance(value, bool), "true or false"),
        "context_size": Kind(
            lambda value: _is_whole(value) and value > 0, "a positive whole number"
        ),
        "seqpos_slice": Kind(_is_slice, "a slice of positions: at most three whole numbers"),
        "exclude_special_tokens": Kind(
            _is_list_of_tokens, "a list of tokens' numbers, true or false"
        ),
        "dtype": Kind(_is_dtype, "one of float64, float32, bfloat16, float16"),
    },
)

SAELENS = KnownSettings(
    used=_SAELENS_METADATA.used
    | _words(
        "architecture d_in d_out d_sae dtype apply_b_dec_to_input normalize_activations "
        "activation_fn activation_fn_str activation_fn_kwargs k hook_point "
        "rescale_acts_by_decoder_norm finetuning_scaling_factor "
        "residual_threshold max_iterations stop_on_duplicate_support later_blocks"
    ),
    harmless=_SAELENS_METADATA.harmless,
    refused={
        **_PLACE,
        "reshape_activations": Refusal(
            ("none", "hook_z"), "only none and hook_z, heads side by side, are understood"
        ),
    },
    noted=_SAELENS_METADATA.noted,
    kinds=_SAELENS_METADATA.kinds,
    parts={"metadata": _SAELENS_METADATA, "model_from_pretrained_kwargs": _MODEL_KWARGS},
)

_SPARSIFY_REFUSED = {
    "embed_skip": "a coder with a skip connection from the embedding",
    "gram_lookup": "a coder that first subtracts a table of n-grams",
}
SPARSIFY = KnownSettings(
    used=_words("k d_in num_latents activation expansion_factor transcode skip_connection signed"),
    # Losses of training alone: whether rows had norm 1, and a second, wider TopK.
    harmless=_words("normalize_decoder multi_topk init dtype device"),
    refused={
        key: Refusal(
            (False,),
            f"{what}, which is no dictionary of one activation; use one that was trained without "
            f"{key}",
        )
        for key, what in _SPARSIFY_REFUSED.items()
    },
)

DICTIONARY_LEARNING = KnownSettings(
    parts={
        "trainer": KnownSettings(
            used=_words(
                "dict_class trainer_class activation_dim dict_size k layer submodule_name "
                "norm_factor"
            ),
            harmless=_words(
                "lm_name steps lr seed device wandb_name warmup_steps sparsity_warmup_steps "
                "decay_start resample_steps l1_penalty auxk_alpha threshold_beta "
                "threshold_start_step top_k_aux k_anneal_steps target_l0 target_k bandwidth "
                "sparsity_penalty group_fractions group_weights group_sizes groups "
                "dead_feature_threshold num_tokens_since_fired initial_k new_wandb_tracking "
                "sparsity_function p_start p_end anneal_start anneal_end sparsity_queue_length "
                "n_sparsity_updates feature_projection"
            ),
        ),
        "buffer": KnownSettings(
            used=_words("io ctx_len add_special_tokens"),
            harmless=_words(
                "d_submodule n_ctxs refresh_batch_size out_batch_size device remove_bos "
                "max_activation_norm_multiple"
            ),
        ),
    }
)

GEMMA_SCOPE = KnownSettings(
    used=_words("architecture type hf_hook_point_in hf_hook_point_out affine_connection"),
    harmless=_words("model_name width l0 d_in d_sae layer seed site revision"),
)

_FOLDED = "only false is understood"
LLAMA_SCOPE = KnownSettings(
    used=_words(
        "hook_point_in hook_point_out d_model d_sae expansion_factor act_fn jump_relu_threshold "
        "norm_activation dataset_average_activation_norm sparsity_include_decoder_norm "
        "apply_decoder_bias_to_pre_encoder sae_type use_decoder_bias top_k"
    ),
    harmless=_words(
        "device dtype exp_result_dir exp_name exp_series version norm_loss use_ghost_grads "
        "decoder_exactly_fixed_norm tokens_per_batch l1_coefficient sae_pretrained_name_or_path "
        "strict_loading act_fn_kwargs lp total_training_tokens init_decoder_norm init_encoder_norm "
        "init_encoder_with_decoder_transpose decoder_bias_init_method seed "
        "jumprelu_threshold_window "
        "promote_act_fn_dtype"
    ),
    refused={"use_glu_encoder": Refusal((False,), f"a gate on the encoder changes it, {_FOLDED}")},
)
