"""A language model's files: found, checked before anything is loaded, and read without torch."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from tokenizers import Tokenizer

from sae_core.errors import ModelError
from sae_core.files.gguf.header import FACTS
from sae_core.files.hub import fetch

_HUB_NAME = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")
_LFS = b"version https://git-lfs"
_WANTED = ["*.json", "*.safetensors"]
_N_CTX = (
    "max_position_embeddings",
    "n_positions",
    "max_sequence_length",
    "max_seq_len",  # MPT
    "seq_length",  # Bloom
)


@dataclass(frozen=True)
class ModelFolder:
    """A Hugging Face folder on this machine whose files are there and whole.

    Attributes:
        path: the folder.
        name: what the model is called: the folder's name, or its name on the Hub.
        facts: where it came from: `repository` and `commit` where it is from the Hub; the file and
            its quantisation where it was a GGUF file; else empty.
    """

    path: Path
    name: str
    facts: Mapping[str, str] = field(default_factory=dict)

    @property
    def n_parameters(self) -> int:
        """Numbers in all weights."""
        return sum(parameters_in(path) for path in _weight_files(self))

    def json(self, name: str) -> dict[str, Any]:
        """The contents of one of its JSON files; empty where the file is missing."""
        path = self.path / name
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise ModelError(f"{path} cannot be read as JSON ({error}): copy it again.") from error
        return value if isinstance(value, dict) else {}

    def n_ctx(self, config: Any) -> int:
        """Positions in the longest context, by whichever name the model's configuration has it."""
        for name in _N_CTX:
            value = getattr(config, name, None)
            if isinstance(value, int) and value > 0:
                return value
        raise ModelError(
            f"{self.path / 'config.json'} does not say how long a context may be: add "
            '"max_position_embeddings" with the number of tokens that the model was trained on.'
        )

    def tokenizer(self, d_vocab: int) -> Tokenizer:
        """The tokenizer in `tokenizer.json`, none of whose tokens is beyond `d_vocab`.

        It cuts and pads nothing, even where the file was saved with such settings. Tokens that were
        added without a row of the embedding, such as a fine-tune's [PAD], are left out: the model
        was never given one.
        """
        path = self.path / "tokenizer.json"
        try:
            tokenizer: Tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # tokenizers raises bare Exception
            raise ModelError(f"{path} cannot be read ({error}): copy it again.") from error
        tokenizer.no_truncation()
        tokenizer.no_padding()
        ids = tokenizer.get_vocab(with_added_tokens=True).values()
        highest = max(ids, default=0)
        if highest >= d_vocab and max(tokenizer.get_vocab(False).values(), default=0) < d_vocab:
            tokenizer = _without_tokens_beyond(tokenizer, d_vocab)
        elif highest >= d_vocab:
            raise ModelError(
                f"{path} has {len(ids)} tokens, numbered up to {highest}, but the model knows "
                f"{d_vocab} only: give the tokenizer that belongs to it."
            )
        return tokenizer

    def bos(self, tokenizer: Tokenizer, d_vocab: int) -> int | None:
        """The token that opens a text, or None where the model has none.

        The tokenizer's own settings decide; a model without such settings is asked for its
        `bos_token_id`.
        """
        return self._token("bos_token", tokenizer, d_vocab)

    def opens_with(self, tokenizer: Tokenizer, bos: int | None) -> bool:
        """Whether the model's own tokenizer puts that token before plain text.

        What `tokenizer.json` adds around a text decides, as it does in the transformers library;
        or `add_bos_token`, where the former adds nothing and the latter says true.
        """
        if bos is not None and self.json("tokenizer_config.json").get("add_bos_token") is True:
            return True
        added: list[int] = tokenizer.encode("a").ids[:1]
        plain: list[int] = tokenizer.encode("a", add_special_tokens=False).ids[:1]
        return bos is not None and added == [bos] != plain

    def eos(self, tokenizer: Tokenizer, d_vocab: int) -> int | None:
        """The token that ends a text, likewise."""
        return self._token("eos_token", tokenizer, d_vocab)

    def _token(self, role: str, tokenizer: Tokenizer, d_vocab: int) -> int | None:
        key = f"{role}_id"
        for name in ("tokenizer_config.json", "special_tokens_map.json"):
            settings = self.json(name)
            if role in settings:
                token = settings[role]
                token = token.get("content") if isinstance(token, dict) else token
                number = None if token is None else tokenizer.token_to_id(token)
                return number if number is not None and number < d_vocab else None
        config = self.json("config.json")
        text = config.get("text_config")  # of a model that reads pictures too
        places = [config, text] if isinstance(text, dict) else [config]
        number = next((place[key] for place in places if place.get(key) is not None), None)
        if isinstance(number, list):  # several end a text in newer chat models
            number = number[0] if number else None
        return number if isinstance(number, int) and 0 <= number < d_vocab else None


def _without_tokens_beyond(tokenizer: Tokenizer, d_vocab: int) -> Tokenizer:
    settings = json.loads(tokenizer.to_str())
    settings["added_tokens"] = [
        token for token in settings["added_tokens"] if token["id"] < d_vocab
    ]
    kept: Tokenizer = Tokenizer.from_str(json.dumps(settings))
    return kept


def find_model(name: str | Path, revision: str | None = None) -> ModelFolder:
    """The folder of a model: a local path, or a name on the Hugging Face Hub.

    A folder that exists never touches the network.

    Args:
        name: path, or `owner/name`.
        revision: branch, tag or commit on the Hub; None: its main branch.

    Raises:
        ModelError: nothing is there, or a file is missing or damaged.
        HubError: it could not be fetched.
    """
    path = Path(name).expanduser()
    if path.is_dir():
        local = _checked(ModelFolder(path, path.resolve().name))
        return replace(local, facts=local.json(FACTS))
    if path.exists():
        raise ModelError(f"{path} is a file: give the folder that holds config.json and weights.")
    if isinstance(name, Path) or not _HUB_NAME.fullmatch(name):
        raise ModelError(f"There is no model folder {path}: check the path.")
    folder = fetch(name, _WANTED, revision)
    return _checked(ModelFolder(folder, name, {"repository": name, "commit": folder.name}))


def parameters_in(path: Path) -> int:
    """Numbers in all tensors of a safetensors file, by its header alone.

    Raises:
        ModelError: it is damaged or incomplete.
    """
    try:
        with safe_open(path, framework="np") as tensors:
            return sum(math.prod(tensors.get_slice(k).get_shape()) for k in tensors.keys())  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise ModelError(
            f"{path} is damaged or incomplete ({error}): copy or download it again."
        ) from error


def _checked(folder: ModelFolder) -> ModelFolder:
    config = folder.path / "config.json"
    if not config.is_file():
        raise ModelError(f"{folder.path} is no model folder: it has no config.json.")
    _refuse_pointer(config)
    folder.json("config.json")
    for path in _weight_files(folder):
        _check_weights(path)
    tokenizer = folder.path / "tokenizer.json"
    if not tokenizer.is_file():
        raise ModelError(
            f"{folder.path} has no tokenizer.json: copy the one that was published with the model "
            "(save_pretrained of transformers 5 may write another: a LlamaTokenizer's differs)."
        )
    _refuse_pointer(tokenizer)
    return folder


def _weight_files(folder: ModelFolder) -> list[Path]:
    index = folder.path / "model.safetensors.index.json"
    if index.is_file():
        _refuse_pointer(index)
        shards = folder.json(index.name).get("weight_map", {})
        return [folder.path / name for name in sorted(set(shards.values()))]
    single = folder.path / "model.safetensors"
    if not single.is_file() and any(folder.path.glob("pytorch_model*.bin")):
        raise ModelError(
            f"{folder.path} has only pickled weights, which can run code when they are opened: "
            "save the model anew with save_pretrained, which writes model.safetensors."
        )
    return [single]


def _check_weights(path: Path) -> None:
    if not path.is_file():
        raise ModelError(f"{path} is missing: copy or download it.")
    _refuse_pointer(path)
    parameters_in(path)


def _refuse_pointer(path: Path) -> None:
    try:
        with path.open("rb") as stream:
            head = stream.read(len(_LFS))
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error}).") from error
    if head == _LFS:
        raise ModelError(f"{path} is a Git LFS pointer, not the file itself: run `git lfs pull`.")
