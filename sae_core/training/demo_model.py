"""The demo's language models: small transformers on the Python standard library's source.

The first has the architecture of "Towards Monosemanticity" (Bricken et al. 2023): one layer, 512
ReLU MLP neurons, d_model 128; the second, three such layers, is deep enough for circuits. They are
trained and kept as ordinary Hugging Face GPT-2 folders, so that the demo takes the road that users'
models take.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor, nn
from torch.nn import functional
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from sae_core.errors import HarvestError
from sae_core.files.atomic import atomic_file
from sae_core.files.hashing import mix
from sae_core.text.corpus import TextCorpus
from sae_core.text.document import HELD_OUT_ONE_IN
from sae_core.text.tokenized import TokenizedCorpus, Windows

END_OF_TEXT = "<|endoftext|>"


@dataclass(frozen=True)
class ModelConfig:
    """Shape and training of the demo model.

    Attributes:
        d_vocab: size of the byte-level BPE vocabulary, the end-of-text token included.
        d_model: width of the residual stream.
        n_layers: blocks.
        n_heads: attention heads.
        d_mlp: MLP neurons in a block.
        n_ctx: positions in a training row and in the model's context.
        batch: rows in a step.
        steps: optimizer steps.
        learning_rate: peak of the schedule.
        warmup: first steps, over which the rate rises linearly.
        horizon: after the warm-up the rate falls linearly, to reach zero at this step.
        cooldown: last steps, over which the rate falls linearly to zero whatever the horizon is.
        weight_decay: AdamW's, on matrices only.
        tied: whether the unembedding is the embedding.
        seed: what initial weights and the rows of each step are made from.
    """

    d_vocab: int = 4096
    d_model: int = 128
    n_layers: int = 1
    n_heads: int = 4
    d_mlp: int = 512
    n_ctx: int = 256
    batch: int = 16
    steps: int = 16_000
    learning_rate: float = 4e-3
    warmup: int = 400
    horizon: int = 22_000
    cooldown: int = 5_000
    weight_decay: float = 0.02
    seed: int = 0
    tied: bool = False

    def __post_init__(self) -> None:
        if self.d_model % self.n_heads:
            raise HarvestError(f"d_model {self.d_model} is no multiple of {self.n_heads} heads.")


@dataclass(frozen=True)
class LossPoint:
    """Mean training loss (nats/token) over the steps since the point before."""

    step: int
    loss: float
    tokens_per_second: float


def train_tokenizer(corpus: TextCorpus, d_vocab: int) -> Tokenizer:
    """A byte-level BPE tokenizer trained on the corpus; id 0 is the end-of-text token."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=d_vocab,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator((d.text for d in corpus.documents()), trainer)
    return tokenizer


def new_model(config: ModelConfig) -> GPT2LMHeadModel:
    """The untrained model, initialised from the seed."""
    torch.manual_seed(config.seed)
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=config.d_vocab,
            n_positions=config.n_ctx,
            n_embd=config.d_model,
            n_layer=config.n_layers,
            n_head=config.n_heads,
            n_inner=config.d_mlp,
            activation_function="relu",
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            tie_word_embeddings=config.tied,
            bos_token_id=0,
            eos_token_id=0,
        )
    )


def held_out_windows(windows: Windows, seed: int) -> NDArray[np.int64]:
    """Windows of training documents that training leaves out: one in fifty, drawn by the seed.

    The loss on held-out documents says how the model reads a text whose names and idioms it never
    saw; the loss on these windows says how it reads new lines of texts that it knows.
    """
    training = windows.of_documents(held_out=False)
    chosen: NDArray[np.int64] = training[mix(seed, training) % np.uint64(HELD_OUT_ONE_IN) == 0]
    return chosen


class Rows:
    """Training rows: BOS, then tokens of the stream of all that is not held out.

    Documents follow one another with an end-of-text token between. The rows of step `s` depend on
    the seed and on `s` alone, so that a resumed run sees what the uninterrupted one would.
    """

    def __init__(self, corpus: TokenizedCorpus, config: ModelConfig) -> None:
        # All tokens but those of held-out documents and windows, with a token behind each document.
        windows = Windows(corpus, config.n_ctx, bos=0)
        kept = np.ones(corpus.n_tokens, dtype=bool)
        for skipped in (
            windows.of_documents(held_out=True),
            held_out_windows(windows, config.seed),
        ):
            begin = corpus.offsets[windows.document_of(skipped)] + windows.start_of(skipped)
            for start, length in zip(begin, windows.lengths(skipped), strict=True):
                kept[start : start + length] = False
        ends = corpus.offsets[1:][~corpus.held_out]
        self.stream = np.insert(corpus.tokens, ends, 0)[np.insert(kept, ends, values=True)]
        self.config = config

    def __getitem__(self, step: int) -> Tensor:
        """Tokens of one step, [batch, n_ctx]."""
        config = self.config
        draw = np.random.default_rng((config.seed, step))
        start = draw.integers(0, len(self.stream) - config.n_ctx, config.batch)
        rows = self.stream[start[:, None] + np.arange(config.n_ctx)].astype(np.int64)
        rows[:, 0] = 0
        return torch.from_numpy(rows)


def _optimizer(model: GPT2LMHeadModel, config: ModelConfig) -> torch.optim.AdamW:
    """AdamW over all parameters; weight decay applies to matrices alone."""
    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim <= 1]
    groups = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, 0.98), fused=True)


def _learning_rate(config: ModelConfig, step: int) -> float:
    """The learning rate of a step, by warm-up, horizon and cool-down."""
    rise = min(1.0, (step + 1) / config.warmup)
    fall = 1 - step / config.horizon
    end = min(1.0, (config.steps - step) / config.cooldown)
    return config.learning_rate * rise * fall * end


def token_loss(model: GPT2LMHeadModel, tokens: Tensor) -> Tensor:
    """Mean next-token cross entropy in nats, bfloat16 products, chunked so that the logits
    [batch * n_ctx, d_vocab] never stand in memory at once."""
    with torch.autocast(tokens.device.type, dtype=torch.bfloat16):
        hidden = model.transformer(tokens).last_hidden_state[:, :-1].flatten(0, 1)
    weight = model.lm_head.weight.to(torch.bfloat16)
    target = tokens[:, 1:].flatten()
    return functional.linear_cross_entropy(hidden.to(torch.bfloat16), weight, target)


def train_model(
    corpus: TokenizedCorpus,
    config: ModelConfig,
    checkpoint: Path,
    device: str = "cpu",
    on_point: Callable[[LossPoint], None] | None = None,
    point_every: int = 100,
    save_every: int = 500,
    on_moment: Callable[[int, GPT2LMHeadModel], None] | None = None,
    moments: Collection[int] = (),
) -> tuple[GPT2LMHeadModel, list[LossPoint]]:
    """Train the demo model, going on from `checkpoint` where one lies.

    `on_moment` sees the model after each number of steps that `moments` names; where a stopped
    training goes on, some a second time, and the same. Returns the model in float32 and the loss
    curve.
    """
    # The model at its start, or where an earlier run of the same training stopped.
    model = new_model(config)
    nn.Module.to(model, device)
    optimizer = _optimizer(model, config)
    rows = Rows(corpus, config)
    begin, curve = 0, list[LossPoint]()
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True, map_location=device)
        if saved["config"] != asdict(config) or saved["corpus"] != corpus.fingerprint:
            raise HarvestError(f"{checkpoint} belongs to another run: remove it to start anew.")
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        begin, curve = saved["step"], [LossPoint(*p) for p in saved["curve"]]
    clock, total, counted = time.monotonic(), torch.zeros((), device=device), 0
    for step in range(begin, config.steps):
        for group in optimizer.param_groups:
            group["lr"] = _learning_rate(config, step)
        # One step of AdamW on the loss of the rows that belong to it.
        loss = token_loss(model, rows[step].to(device))
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        total, counted = total + loss.detach(), counted + 1
        if on_moment is not None and step + 1 in moments:
            on_moment(step + 1, model)
        if (step + 1) % point_every == 0 or step + 1 == config.steps:
            rate = counted * config.batch * config.n_ctx / (time.monotonic() - clock)
            curve.append(LossPoint(step + 1, float(total) / counted, rate))
            if on_point is not None:
                on_point(curve[-1])
            clock, total, counted = time.monotonic(), torch.zeros((), device=device), 0
        if (step + 1) % save_every == 0 or step + 1 == config.steps:
            with atomic_file(checkpoint) as draft:
                state = {
                    "config": asdict(config),
                    "corpus": corpus.fingerprint,
                    "model": model.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "step": step + 1,
                    "curve": [(p.step, p.loss, p.tokens_per_second) for p in curve],
                }
                torch.save(state, draft)
    return model, curve


def save_model(model: GPT2LMHeadModel, tokenizer: Tokenizer, folder: Path) -> None:
    """Write an ordinary Hugging Face folder: config, fp16 safetensors, tokenizer."""
    save_weights(model, folder)
    special = {"bos_token": END_OF_TEXT, "eos_token": END_OF_TEXT, "add_bos_token": True}
    fast: Any = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)  # type: ignore[no-untyped-call]
    fast.save_pretrained(folder)


def save_weights(model: GPT2LMHeadModel, folder: Path) -> None:
    """Write config and fp16 safetensors alone."""
    nn.Module.to(copy.deepcopy(model), torch.float16).save_pretrained(folder)
