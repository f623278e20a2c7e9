"""A JSON file of settings, read with checks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sae_core.errors import CheckpointError


class JsonConfig:
    """A JSON object on disk whose keys are asked for by kind.

    Raises:
        CheckpointError: by every method: the key is missing or of another kind; the sentence names
            the file.
    """

    def __init__(self, path: Path, values: dict[str, Any]) -> None:
        self.path = path
        self.values = values

    @classmethod
    def read(cls, path: Path) -> JsonConfig:
        """The object in a file."""
        try:
            values = json.loads(path.read_text())
        except FileNotFoundError as error:
            raise CheckpointError(
                f"{path.parent} is no dictionary: it has no {path.name}."
            ) from error
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{path} cannot be read: {error}.") from error
        if not isinstance(values, dict):
            raise CheckpointError(f"{path} is not a JSON object.")
        return cls(path, values)

    def need(self, key: str) -> Any:
        """The value of a key that must be there."""
        if key not in self.values:
            raise CheckpointError(f"{self.path} does not give {key!r}.")
        return self.values[key]

    def size(self, key: str) -> int:
        """A positive whole number."""
        value = self.need(key)
        if isinstance(value, float) and value.is_integer():  # SAELens may write k as 32.0
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise CheckpointError(f"{key} in {self.path} is {value!r}, not a positive number.")
        return value

    def number(self, key: str, default: float) -> float:
        """A number that is not below 0."""
        value = self.values.get(key)
        if value is None:
            return default
        if not isinstance(value, (int, float)) or isinstance(value, bool) or not value >= 0:
            raise CheckpointError(f"{key} in {self.path} is {value!r}, not a number from 0 on.")
        return float(value)

    def flag(self, key: str, default: bool) -> bool:
        """True or false."""
        value = self.values.get(key)
        if value is not None and not isinstance(value, bool):
            raise CheckpointError(f"{key} in {self.path} is {value!r}, not true or false.")
        return default if value is None else value

    def word(self, key: str, default: str) -> str:
        """A string."""
        return str(self.values.get(key, default))
