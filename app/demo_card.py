"""The demo's model card as text, from the figures that making it recorded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def card_text(card: Mapping[str, Any]) -> str:
    """Markdown for `demo/README.md`."""
    corpus, model, topk, figures = (
        card[key] for key in ("corpus", "model", "dictionary", "evaluation")
    )
    trained = model["steps"] * model["batch"] * model["n_ctx"]
    every = max(1, len(card["loss_curve"]) // 20)
    points = card["loss_curve"][::-every][::-1]
    curve = "\n".join(f"| {step:,} | {loss:.3f} |" for step, loss in points)
    rows = f"{topk['steps']:,} steps of {topk['batch']:,} tokens"
    return f"""# The bundled demo

A one-layer transformer and a dictionary of its MLP neurons, small enough to ship and trained for
this repository, after the one-layer study of "Towards Monosemanticity" (Bricken et al. 2023).
Nothing here comes from elsewhere. Made by

    {card["command"]}

with Python {card["python"]} and torch {card["torch"]}. Every figure here was written by that
command into `card.json`; `featurescope evaluate` recomputes the dictionary's.

## Corpus

{corpus["source"][0].upper() + corpus["source"][1:]}: {corpus["documents"]:,} distinct files,
{corpus["tokens"]:,} tokens. One file in fifty, chosen by the hash of its text, is held out
({corpus["held_out_documents"]} files, {corpus["held_out_tokens"]:,} tokens): neither model nor
dictionary was trained on it. Of the other files the model was not trained on one window in fifty
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

## Dictionary (`mlp-4096/`)

TopK, {topk["d_sae"]:,} features, k = {topk["k"]}, on `blocks.0.mlp.hook_post`; SAELens 6
format, float16. {rows}, seed {topk["seed"]}. On all held-out text
({figures["n_tokens"]:,} tokens, windows of 128):

| figure | value |
|---|---:|
| L0 | {figures["l0"]:.2f} |
| FVU | {figures["fvu"]:.4f} |
| L_clean | {figures["l_clean"]:.4f} |
| L_recon | {figures["l_recon"]:.4f} |
| L_zero | {figures["l_zero"]:.4f} |
| L_mean | {figures["l_mean"]:.4f} |
| extra-loss fraction (zero) | {figures["extra_loss_fraction"]:.2%} |
| extra-loss fraction (mean) | {figures["extra_loss_fraction_mean"]:.2%} |
| dead share | {figures["dead_share"]:.2%} |

## Checksums (SHA-256 over the folder's files)

- `model/`: `{card["checksums"]["model"]}`
- `mlp-4096/`: `{card["checksums"]["mlp-4096"]}`
"""
