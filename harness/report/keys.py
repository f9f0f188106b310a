"""The signing key of this bench, and the keys of others that its user knows.

They stand in the user's configuration directory (`$XDG_CONFIG_HOME/hil`, usually `~/.config/hil`): `signing_key.pem`, readable by its
owner only, and `known_keys`, a line for each: fingerprint, blank, name.
"""

import logging
import os
import re
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from harness.errors import ConfigurationError, OptionError
from harness.report.signature import fingerprint_of

THIS_BENCH = "this bench"

SIGNING_KEY_FILE = "signing_key.pem"

_LOG = logging.getLogger(__name__)
_KNOWN_FILE = "known_keys"
_FINGERPRINT = re.compile(r"[0-9a-f]{32}\Z")


def keys_directory() -> Path:
    """Where the keys of this user stand."""
    configured = os.environ.get("XDG_CONFIG_HOME", "")
    return (Path(configured) if configured else Path.home() / ".config") / "hil"


def create_key(directory: Path) -> Ed25519PrivateKey:
    """Makes the bench's key; the one that is there already stays and is returned. Raises ConfigurationError where it cannot be written."""
    path = directory / SIGNING_KEY_FILE
    if path.exists():
        return load_key(directory)
    key = Ed25519PrivateKey.generate()
    text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Exclusive and private from its first byte on: nobody else may read it, not even for a moment.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(text)
    except FileExistsError:  # another run of the same user was faster
        return load_key(directory)
    except OSError as error:
        raise ConfigurationError(str(path), "", "", f"cannot be written: {error.strerror}") from error
    return key


def load_key(directory: Path) -> Ed25519PrivateKey:
    """The bench's key. Raises ConfigurationError where there is none or it is no Ed25519 key."""
    path = directory / SIGNING_KEY_FILE
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except FileNotFoundError as error:
        raise ConfigurationError(str(path), "", "", "does not exist; `hil key init` makes it") from error
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigurationError(str(path), "", "", f"holds no private key: {error}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigurationError(str(path), "", "", f"holds a {type(key).__name__}, not an Ed25519 key")
    return key


def signing_key() -> Ed25519PrivateKey | None:
    """The key that signs this bench's packages, made at its first run; None, with a warning, where the user's directory is not writable."""
    try:
        return create_key(keys_directory())
    except ConfigurationError as error:
        _LOG.warning("packages are not signed: %s", error)
        return None


def public_key_text(key: Ed25519PrivateKey) -> str:
    """The public half as PEM, to be handed to those who verify."""
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def known_keys(directory: Path) -> dict[str, str]:
    """Fingerprint -> name: this bench's own key, and those that its user has entered."""
    known = _entered_keys(directory / _KNOWN_FILE)
    if (directory / SIGNING_KEY_FILE).exists():
        known[fingerprint_of(load_key(directory).public_key())] = THIS_BENCH
    return known


def remember_key(directory: Path, fingerprint: str, name: str) -> None:
    """Enters a key as known.

    Raises ConfigurationError for a fingerprint of another form, a name that is none, or a directory that cannot be written.
    """
    if not _FINGERPRINT.match(fingerprint):
        raise OptionError("FINGERPRINT", f"{fingerprint!r} is none: 32 hexadecimal digits in lower case")
    cleaned = " ".join(name.split())
    if not cleaned:
        raise OptionError("NAME", "is empty")
    path = directory / _KNOWN_FILE
    entries = _entered_keys(path) | {fingerprint: cleaned}
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.write_text("".join(f"{key} {holder}\n" for key, holder in entries.items()), encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(str(path), "", "", f"cannot be written: {error.strerror}") from error


def wanted_fingerprint(text: str) -> str:
    """What `--key` names: a fingerprint, or a file with a public key. Raises ConfigurationError for anything else."""
    if _FINGERPRINT.match(text.lower()):
        return text.lower()
    try:
        key = load_pem_public_key(Path(text).read_bytes())
    except OSError as error:
        raise OptionError("--key", f"{text!r} is neither a fingerprint (32 hexadecimal digits) nor a readable file") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ConfigurationError(text, "", "", f"holds no public key: {error}") from error
    if not isinstance(key, Ed25519PublicKey):
        raise ConfigurationError(text, "", "", f"holds a {type(key).__name__}, not an Ed25519 key")
    return fingerprint_of(key)


def _entered_keys(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    pairs = (line.split(None, 1) for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
    return {pair[0]: pair[1].strip() for pair in pairs if len(pair) == 2}
