"""The English demo's model card as text, from the figures that making it recorded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_FIGURES = {
    "L0": ("l0", "{:.2f}"),
    "FVU": ("fvu", "{:.4f}"),
    "L_clean (nats/token)": ("l_clean", "{:.4f}"),
    "L_recon": ("l_recon", "{:.4f}"),
    "L_zero": ("l_zero", "{:.4f}"),
    "L_mean": ("l_mean", "{:.4f}"),
    "KL (nats/token)": ("kl", "{:.4f}"),
    "extra-loss fraction (zero)": ("extra_loss_fraction", "{:.2%}"),
    "extra-loss fraction (mean)": ("extra_loss_fraction_mean", "{:.2%}"),
    "dead share": ("dead_share", "{:.2%}"),
}
_FAR = {"far tokens": ("tokens", "{:.4%}"), "variance of these": ("variance", "{:.1%}")}


def english_card_text(card: Mapping[str, Any]) -> str:
    """Markdown for `demo/english/README.md`."""
    corpus, writing, parts = card["corpus"], card["writing"], card["dictionaries"]
    first = next(iter(parts.values()))
    evaluated, training = first["evaluation"], first["training"]
    epochs = training["tokens"] / (corpus["tokens"] - corpus["held_out_tokens"])
    return f"""# The English demo

A chat model that speaks English, and two dictionaries of its activations that were trained for this
repository. The model is not in it: `featurescope demo --english` fetches it. Text, dictionaries and
figures were made by

    {card["command"]}

with Python {card["python"]} and torch {card["torch"]}. Every figure here was written by that
command into `card.json`; `featurescope evaluate` recomputes the dictionaries'.

## Language model

SmolLM2-135M-Instruct (Apache-2.0) as the file `{card["file"]}` of the package
{card["package"]}: Llama architecture, 30 layers, d_model 576, 9 heads with 3 key-value heads, MLP
1,536, context 8,192, vocabulary 49,152, tied embeddings. The package and the file in it are pinned
by their SHA-256; the file is opened once, as float32 numbers that are exactly the file's. The file
itself is rounded: {card["quantisation"]}. Features are those of the rounded model.

## Text (`english.jsonl.xz`)

{corpus["documents"]:,} texts, {corpus["tokens"]:,} tokens, all written by the model itself: it was
given openings of our own (`app/jobs/demo/english/openings.py`), about half of them chats in its own
template, and wrote on at temperature {writing["temperature"]}, among the {writing["top_k"]}
likeliest tokens that hold {writing["top_p"]:.0%} of the probability, {writing["positions"]} tokens
at most, in {writing["dtype"]}, seed {writing["seed"]}. Texts that had come round to saying the same
over and over (fewer than {writing["fresh"]:.0%} different runs of three words) were left out.
One text in fifty, chosen by the hash of the text, is held out
({corpus["held_out_documents"]} texts, {corpus["held_out_tokens"]:,} tokens).
Fingerprint: `{corpus["fingerprint"]}`. Where the file is
missing the command writes it anew; on another kind of processor the last bits of a number differ,
and with them the text.

**What such text does to the features.** It is narrower than what people write: one author, with the
habits of a small chat model (lists, summaries, polite openings, repetition), about 255 topics, no
names or facts that the model does not make up. Features of rare things (other languages, code,
quotations, markup) are trained on little or nothing and may be missing or dead; features of the
model's own manner are more than there would be. Losses are low because the model predicts text that
was drawn from its own likeliest tokens, so that a share of a loss is not comparable with one
measured on other text.

## Dictionaries

SAELens 6 format, float16, BOS (`<|im_start|>`) before each context of 128. Trained on activations
of the model in {writing["dtype"]}, about {epochs:.1f} times over the text. Figures are of the files
as they lie here, with the model in float32, on all held-out text
({evaluated["n_tokens"]:,} tokens); brackets are 95 % intervals over its documents. Dead are
features that fire on none of these tokens, which are few: the harvest's page says how many fire on
none of ten times as many. Of the transcoder the MLP's output is replaced. *Far tokens* have an
activation ten times as long as the median where the dictionary reads (in the stream these are first
words such as "Ingredients", where the model rests its attention); where much of the variance is
theirs, an FVU says little of the others.

{_table(parts)}

## Checksums (SHA-256 over the folder's files)

{_sums(card)}
"""


def _table(parts: Mapping[str, Any]) -> str:
    """How each dictionary was trained, and its figures; a column each."""
    shown = parts.values()
    rows = [
        ("hook point", [f"`{part['hook_point']}`" for part in shown]),
        ("writes at", [f"`{part.get('output_hook_point', part['hook_point'])}`" for part in shown]),
        ("trained as", [part["training"]["architecture"] for part in shown]),
        ("features", [f"{part['training']['d_sae']:,}" for part in shown]),
        ("training tokens", [f"{part['training']['tokens']:,}" for part in shown]),
        ("seed", [str(part["training"]["seed"]) for part in shown]),
    ]
    rows += [
        (title, [form.format(part["far"][key]) for part in shown])
        for title, (key, form) in _FAR.items()
    ]
    rows += [
        (title, [_figure(part["evaluation"], key, form) for part in shown])
        for title, (key, form) in _FIGURES.items()
    ]
    head = f"| |{''.join(f' `{name}` |' for name in parts)}\n|---|{'---:|' * len(parts)}"
    return "\n".join([head, *(f"| {title} | {' | '.join(cells)} |" for title, cells in rows)])


def _figure(evaluation: Mapping[str, Any], key: str, form: str) -> str:
    value, interval = evaluation.get(key), evaluation["details"]["intervals"].get(key)
    if value is None:
        return ""
    ends = "" if interval is None else f" ({form} to {form})".format(*interval)
    return form.format(value) + ends


def _sums(card: Mapping[str, Any]) -> str:
    return "\n".join(f"- `{name}/`: `{value}`" for name, value in card["checksums"].items())
