"""Everything that can be configured, and where the files lie that are not code.

Settings are one frozen class, read from FEATURESCOPE_… variables. Resources are folders: inside the
installed package, or in the clone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from app.errors import SettingsError

DATABASE_SCHEMES = ("sqlite:", "postgresql:", "postgresql+psycopg:")
RESOURCES = ("templates", "static", "migrations", "demo")

_PACKAGE = Path(__file__).resolve().parent


class Settings(BaseSettings):
    """One field is one environment variable, `FEATURESCOPE_` and the field's name in capitals."""

    model_config = SettingsConfigDict(env_prefix="FEATURESCOPE_", frozen=True, extra="forbid")

    home: Path = Field(
        default=Path("~/.featurescope"),
        description="Folder of everything Featurescope writes: the default database, harvests in "
        "progress, tokenized corpora.",
    )
    database_url: str | None = Field(
        default=None,
        description="Where the store is: `sqlite:///…` or `postgresql+psycopg://…`. Unset: the "
        "file `featurescope.db` in the home folder.",
    )
    host: str = Field(
        default="127.0.0.1",
        description="Address the pages are served on. Any other than loopback also needs "
        "`--allow-network` or FEATURESCOPE_ALLOW_NETWORK.",
    )
    port: int = Field(
        default=8000,
        ge=0,
        le=65535,
        description="Port of the pages; 0 takes a free one.",
    )
    allow_network: bool = Field(
        default=False,
        description="Agree to serve on an address that other machines reach. There is no login: "
        "everybody who reaches it reads all pages and uses the worker.",
    )
    allowed_hosts: str = Field(
        default="",
        description="Host names, with commas between, under which the pages (or a worker by "
        "itself) may be opened from other machines, besides numeric addresses and this machine's "
        "own name. Others are refused: a page elsewhere could point its own name here.",
    )
    web_processes: int = Field(
        default=1,
        ge=1,
        le=64,
        description="Processes that answer readers, on one address and one store, with one worker "
        "behind them. One of them uses one processor.",
    )
    database_connections: int = Field(
        default=20,
        ge=1,
        le=1000,
        description="Connections to the store that one process opens at most.",
    )
    worker_url: str | None = Field(
        default=None,
        description="Address of a worker that runs by itself, such as `http://worker:8001`, or "
        "several with commas between: each request goes to the one with least to do, and to "
        "another where that one is gone. Unset: serving starts a worker as its own child process.",
    )
    worker_secret: SecretStr | None = Field(
        default=None,
        description="What the web process says to the worker, which works for nobody else. Give "
        "both the same; unset: a worker by itself asks for none, and one that serving starts gets "
        "a new one at each start.",
    )
    worker_threads: int | None = Field(
        default=None,
        ge=1,
        description="CPU threads that the worker computes with. Unset: half of the processors.",
    )
    worker_memory: float | None = Field(
        default=None,
        gt=0,
        description="GiB for the weights of models and dictionaries that the worker keeps loaded; "
        "those used longest ago make room for others. Unset: half of the machine's memory.",
    )
    device: Literal["cpu", "cuda", "mps"] = Field(
        default="cpu", description="Device that the worker and the harvest compute on."
    )
    webhook: SecretStr | None = Field(
        default=None,
        description="Address that every alarm of a monitor is posted to as JSON. Unset: alarms are "
        "kept and logged alone.",
    )
    webhook_private: bool = Field(
        default=False,
        description="Agree to a webhook at an address of this machine or its network.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="warning", description="Least severe message that is written to standard error."
    )
    log_format: Literal["text", "json"] = Field(
        default="text", description="How messages are written: lines of text, or JSON a line."
    )

    @field_validator("home")
    @classmethod
    def _absolute(cls, home: Path) -> Path:
        return home.expanduser().absolute()

    @field_validator("database_url")
    @classmethod
    def _known_database(cls, url: str | None) -> str | None:
        if url is None:
            return None
        if not url.startswith(DATABASE_SCHEMES):
            raise ValueError("it must begin with sqlite:/// or postgresql+psycopg://")
        return url.replace("postgresql:", "postgresql+psycopg:", 1)

    @field_validator("worker_url")
    @classmethod
    def _http(cls, url: str | None) -> str | None:
        urls = [part.strip().rstrip("/") for part in (url or "").split(",") if part.strip()]
        if not all(part.startswith(("http://", "https://")) for part in urls):
            raise ValueError("it must begin with http:// or https://, each of several likewise")
        return ",".join(dict.fromkeys(urls)) or None

    @field_validator("webhook")
    @classmethod
    def _postable(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and not url.get_secret_value().startswith(("http://", "https://")):
            raise ValueError("it must begin with http:// or https://")
        return url

    @model_validator(mode="after")
    def _no_contradiction(self) -> Self:
        if self.worker_url is not None and self.worker_threads is not None:
            raise ValueError(
                "worker_threads is for the worker that serving starts itself; "
                "with worker_url set it belongs into the environment of that worker"
            )
        return self

    @property
    def hosts(self) -> tuple[str, ...]:
        """The allowed host names."""
        names = (name.strip().lower() for name in self.allowed_hosts.split(","))
        return tuple(name for name in names if name)

    @property
    def worker_urls(self) -> tuple[str, ...]:
        """The addresses of workers that run by themselves."""
        return tuple(self.worker_url.split(",")) if self.worker_url else ()

    @property
    def worker_secret_text(self) -> str:
        """The worker's secret; empty: there is none."""
        return self.worker_secret.get_secret_value() if self.worker_secret else ""

    @property
    def url(self) -> str:
        """The store's address, the default filled in."""
        return self.database_url or f"sqlite:///{self.home / 'featurescope.db'}"


def read_settings(**overrides: Any) -> Settings:
    """The settings of this process; a keyword that is not None goes before the environment.

    Raises:
        SettingsError: naming the variable and what is wrong with it.
    """
    given = {name: value for name, value in overrides.items() if value is not None}
    try:
        return Settings(**given)
    except ValidationError as error:
        raise SettingsError(_sentence(error)) from None


def _sentence(error: ValidationError) -> str:
    """One sentence for the first thing that is wrong."""
    first = error.errors()[0]
    reason = first["msg"].removeprefix("Value error, ")
    if not first["loc"]:
        return f"The settings contradict each other: {reason}."
    name = str(first["loc"][0])
    shown = (
        ""
        if name in ("database_url", "worker_secret", "webhook")
        else f" (it is {first['input']!r})"
    )
    return f"The setting FEATURESCOPE_{name.upper()} cannot be used{shown}: {reason}."


def resource(name: str) -> Path:
    """The folder `name`, one of `RESOURCES`.

    A built wheel carries it as `app/_resources/name`; an editable install and a clone read it
    where it is edited, beside the package.
    """
    if name not in RESOURCES:
        raise SettingsError(f"There is no resource {name!r}; there are {', '.join(RESOURCES)}.")
    for folder in (_PACKAGE / "_resources" / name, _PACKAGE.parent / name):
        if folder.is_dir():
            return folder
    raise SettingsError(
        f"The folder {name!r} is missing from this installation of Featurescope; reinstall it."
    )
