"""The key that reports are signed with: Ed25519 (RFC 8032), made at first use."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from app.errors import InvalidRequest, StoreError

KEY_FILE = "report-key.pem"
_LARGEST = 16_384  # bytes of a key's file
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class ReportKey:
    """A private key.

    Args:
        private: of it.

    Attributes:
        public: the key that signatures are held against, 64 hexadecimal digits.
        fingerprint: SHA-256 of that key's 32 bytes, as hexadecimal digits.
    """

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        raw = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.public = raw.hex()
        self.fingerprint = fingerprint(self.public)

    @property
    def pem(self) -> str:
        """The public key as a file that `verify-report --key` reads."""
        public = self._private.public_key()
        return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    def sign(self, data: bytes) -> str:
        """The signature of some bytes, 128 hexadecimal digits."""
        return self._private.sign(data).hex()


def open_key(home: Path) -> ReportKey:
    """The key in a home folder, made there where there is none; only its owner can read it.

    Raises:
        StoreError: it is damaged, others can read it, or it cannot be written.
    """
    path = home / KEY_FILE
    try:
        home.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            _make(path)
        if path.stat().st_mode & _OTHERS:
            raise StoreError(
                f"Others than its owner can read {path}: run `chmod 600` on it, or move it away, "
                "and a new key is made."
            )
        private = load_pem_private_key(path.read_bytes()[:_LARGEST], password=None)
    except OSError as error:
        raise StoreError(f"The key {path} cannot be used: {error.strerror}.") from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise StoreError(_damaged(path)) from error
    if not isinstance(private, Ed25519PrivateKey):
        raise StoreError(_damaged(path))
    return ReportKey(private)


def fingerprint(public: str) -> str:
    """Of a public key in hexadecimal digits."""
    return hashlib.sha256(bytes.fromhex(public)).hexdigest()


def is_signed(public: str, signature: str, data: bytes) -> bool:
    """Whether the bytes were signed with the private half of a public key."""
    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public))
        key.verify(bytes.fromhex(signature), data)
    except (ValueError, InvalidSignature):
        return False
    return True


def given_fingerprint(words: str) -> str:
    """What `--key` names: a fingerprint, or a file with a public key.

    Raises:
        InvalidRequest: it is neither.
    """
    plain = words.strip().lower().replace(":", "")
    if len(plain) == 64 and not set(plain) - set("0123456789abcdef"):
        return plain
    try:
        with Path(words).open("rb") as file:
            public = load_pem_public_key(file.read(_LARGEST))
    except (OSError, ValueError, UnsupportedAlgorithm) as error:
        raise InvalidRequest(
            f"{words!r:.200} is neither a fingerprint of 64 hexadecimal digits nor a file with a "
            "public key; `featurescope report --key` prints both."
        ) from error
    if not isinstance(public, Ed25519PublicKey):
        raise InvalidRequest(f"{words!r:.200} is a key of another kind; reports use Ed25519.")
    return fingerprint(public.public_bytes(Encoding.Raw, PublicFormat.Raw).hex())


def _make(path: Path) -> None:
    """Whole or not at all; of two processes that make one, the first one's stays."""
    made = Ed25519PrivateKey.generate()
    data = made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            return
    finally:
        draft.unlink(missing_ok=True)


def _damaged(path: Path) -> str:
    return f"{path} holds no Ed25519 key: move it away, and a new one is made."
