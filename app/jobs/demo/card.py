"""The demo's model card as text, from the figures that making it recorded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


def card_text(card: Mapping[str, Any]) -> str:
    """Markdown for `demo/README.md`."""
    corpus, model = card["corpus"], card["model"]
    trained = model["steps"] * model["batch"] * model["n_ctx"]
    curve, parts = _curve(card), card["dictionaries"]
    n_tokens = next(iter(parts.values()))["evaluation"]["n_tokens"]
    return f"""# The bundled demo

A one-layer transformer and dictionaries of its activations, small enough to ship and trained for
this repository, after the one-layer study of "Towards Monosemanticity" (Bricken et al. 2023).
Nothing here comes from elsewhere. Made by

    {card["command"]}

with Python {card["python"]} and torch {card["torch"]}. Every figure here was written by that
command into `card.json`; `featurescope evaluate` recomputes the dictionaries'.

## Corpus

{corpus["source"][0].upper() + corpus["source"][1:]}: {corpus["documents"]:,} distinct files,
{corpus["tokens"]:,} tokens. One file in fifty, chosen by the hash of its text, is held out
({corpus["held_out_documents"]} files, {corpus["held_out_tokens"]:,} tokens): neither model nor
dictionaries were trained on it. Of the other files the model was not trained on one window in fifty
({card["held_out_windows"]:,} windows of {model["n_ctx"]} tokens, drawn by the seed). Another Python
version has other text, so its figures differ a little.
Fingerprint: `{corpus["fingerprint"]}`.

## Language model (`model/`)

GPT-2 architecture in an ordinary Hugging Face folder: 1 layer, d_model {model["d_model"]},
{model["n_heads"]} heads, {model["d_mlp"]} ReLU neurons, context {model["n_ctx"]}, byte-level BPE
vocabulary {model["d_vocab"]:,}, untied embeddings, float16.
Trained on {trained:,} tokens ({model["steps"]:,} steps of {model["batch"]} rows), AdamW,
peak learning rate {model["learning_rate"]}, seed {model["seed"]}.

| text | nats/token |
|---|---:|
| **held-out windows** of files that it knows | **{card["held_out_loss"]:.3f}** |
| held-out files, whose names and idioms it never saw | {card["held_out_documents_loss"]:.3f} |
| as many windows that it was trained on | {card["training_loss"]:.3f} |

| step | training loss (nats/token) |
|---:|---:|
{curve}

## Dictionaries

SAELens 6 format, float16. Each was trained on the activations of the other documents, and in the
last share of its steps also for the model's predictions (`downstream`). Figures are of the files as
they lie here, on all held-out text ({n_tokens:,} tokens, windows of 128); dead are features that
fire on none of these tokens (on the million tokens of the demo's harvest fewer are).

{_figures(parts)}

## Which is best, and why these

`sweep/` holds the results (not the weights) of 33 trainings on this model, 3 M tokens each: every
architecture at an L0 of 8, 16 and 32, with three seeds of the two best at each, and TopK with 512
to 8,192 features. `featurescope sweep --show demo/sweep` prints them, `/sweeps/demo` draws them.
What the model loses is least with TopK at L0 8 and 16 and with JumpReLU at 32, by more than seeds
differ; the second (BatchTopK, or TopK) loses 4 % more at most. Gated explains a little more
variance at 8 (by one seed), JumpReLU at 32; at 16 TopK and BatchTopK are level. Matryoshka pays for
its nesting, standard for its shrinkage. TopK was chosen: in what the model loses it is best or next
to it everywhere, it keeps its L0 on any text, and fewer of its features stay silent than
JumpReLU's. L0 24 loses less than 0.1 nats, which took 20 M tokens, a fifth of them for the model's
predictions as well.

## Checksums (SHA-256 over the folder's files)

{_sums(card)}
"""


def deep_card_text(card: Mapping[str, Any]) -> str:
    """Markdown for `demo/deep/README.md`."""
    corpus, model, parts = card["corpus"], card["model"], card["dictionaries"]
    trained = model["steps"] * model["batch"] * model["n_ctx"]
    moments = "\n".join(
        f"| {row['step']:,} | {row['step'] * model['batch'] * model['n_ctx']:,} | "
        f"{row['held_out_loss']:.3f} | {row['held_out_documents_loss']:.3f} |"
        for row in card["moments"]
    )
    whole, names = card["together"]["evaluation"], card["together"]["names"]
    replaced = ", ".join(f"`{name}`" for name in names)
    return f"""# The deeper demo

A transformer of {model["n_layers"]} layers on the text of the [one-layer demo](../README.md), deep
enough for circuits: a transcoder of each MLP, and dictionaries of the residual stream between the
blocks. Nothing here comes from elsewhere. Made by

    {card["command"]}

with Python {card["python"]} and torch {card["torch"]}. Every figure here was written by that
command into `card.json`; `featurescope evaluate` recomputes the dictionaries'.

## Language model (`model/`)

GPT-2 architecture in an ordinary Hugging Face folder: {model["n_layers"]} layers, d_model
{model["d_model"]}, {model["n_heads"]} heads and {model["d_mlp"]} ReLU neurons in each, context
{model["n_ctx"]}, byte-level BPE vocabulary {model["d_vocab"]:,}, tied embeddings, float16.
Trained on {trained:,} tokens of {corpus["source"]} ({model["steps"]:,} steps of {model["batch"]}
rows), AdamW, peak learning rate {model["learning_rate"]}, seed {model["seed"]}. Its text is held
out as the one-layer model's is; the tokenizer is the same.

| text | nats/token |
|---|---:|
| **held-out windows** of files that it knows | **{card["held_out_loss"]:.3f}** |
| held-out files, whose names and idioms it never saw | {card["held_out_documents_loss"]:.3f} |
| as many windows that it was trained on | {card["training_loss"]:.3f} |

| step | training loss (nats/token) |
|---:|---:|
{_curve(card)}

## Moments of its training (`step-N/`)

Weights and settings, float16; the tokenizer is `model/`'s. The finished model is the last.

| step | tokens | held-out windows | held-out files |
|---:|---:|---:|---:|
{moments}

## Dictionaries

SAELens 6 format, float16. Each was trained on the activations of the other documents, and in the
last share of its steps also for the model's predictions (`downstream`). Figures are of the files as
they lie here, on all held-out text ({whole["n_tokens"]:,} tokens, windows of 128). Of a transcoder
the MLP's output is replaced; what that loses is the extra-loss fraction, of what the model loses
where it is set to 0 or to its mean.

{_figures(parts)}

{replaced} at once, each reading what the ones before it left in the stream: L0
{whole["l0"]:.1f}, L_recon {whole["l_recon"]:.4f} against L_clean {whole["l_clean"]:.4f}, L_zero
{whole["l_zero"]:.4f} and L_mean {whole["l_mean"]:.4f}: an extra-loss fraction of
{whole["extra_loss_fraction"]:.2%} (zero) and {whole["extra_loss_fraction_mean"]:.2%} (mean).

## Checksums (SHA-256 over the folder's files)

{_sums(card)}
"""


def _curve(card: Mapping[str, Any]) -> str:
    """Rows of the training loss, some twenty of them, the last one last."""
    every = max(1, len(card["loss_curve"]) // 20)
    points = card["loss_curve"][::-every][::-1]
    return "\n".join(f"| {step:,} | {loss:.3f} |" for step, loss in points)


def _figures(parts: Mapping[str, Any]) -> str:
    """The table of dictionaries, a column each."""
    head, shown = "".join(f" `{name}` |" for name in parts), parts.values()
    rows = "\n".join(
        f"| {title} |"
        + "".join(
            f" {how.format(read(part)) if read(part) is not None else ''} |" for part in shown
        )
        for title, how, read in _FIGURES
        if any(read(part) is not None for part in shown)
    )
    return f"| |{head}\n|---|{'---:|' * len(parts)}\n{rows}"


def _sums(card: Mapping[str, Any]) -> str:
    return "\n".join(f"- `{name}/`: `{value}`" for name, value in card["checksums"].items())


def _training(key: str) -> Callable[[Mapping[str, Any]], Any]:
    return lambda part: part["training"][key]


def _evaluated(key: str) -> Callable[[Mapping[str, Any]], Any]:
    return lambda part: part["evaluation"][key]


_FIGURES: tuple[tuple[str, str, Callable[[Mapping[str, Any]], Any]], ...] = (
    ("hook point", "`{}`", lambda part: part["hook_point"]),
    ("writes at", "`{}`", lambda part: part.get("output_hook_point")),
    ("trained as", "{}", _training("architecture")),
    ("kept as", "{}", lambda part: part["kept_as"]),
    ("d_in", "{:,}", lambda part: part["d_in"]),
    ("features", "{:,}", _training("d_sae")),
    ("training tokens", "{:,}", _training("tokens")),
    ("downstream", "{:.0%}", _training("downstream")),
    ("seed", "{}", _training("seed")),
    ("L0", "{:.2f}", _evaluated("l0")),
    ("FVU", "{:.4f}", _evaluated("fvu")),
    ("L_clean", "{:.4f}", _evaluated("l_clean")),
    ("L_recon", "{:.4f}", _evaluated("l_recon")),
    ("L_zero", "{:.4f}", _evaluated("l_zero")),
    ("L_mean", "{:.4f}", _evaluated("l_mean")),
    ("KL", "{:.4f}", _evaluated("kl")),
    ("extra-loss fraction (zero)", "{:.2%}", _evaluated("extra_loss_fraction")),
    ("extra-loss fraction (mean)", "{:.2%}", _evaluated("extra_loss_fraction_mean")),
    ("dead share", "{:.2%}", _evaluated("dead_share")),
)
