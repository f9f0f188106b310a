"""Who stands behind a package, and whether it is still what they signed.

`manifest.json` holds the SHA-256 of each file; `manifest.sig` holds an Ed25519 signature over the manifest's bytes and the public key.
A valid signature proves integrity only; who signed is known by the key's fingerprint, which the reader must have from elsewhere.
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from harness.report.findings import SCRIPTS_DIRECTORY

MANIFEST_FILE = "manifest.json"
SIGNATURE_FILE = "manifest.sig"
MANIFEST_SCHEMA = "hil-manifest/1"
SIGNATURE_SCHEMA = "hil-signature/1"

_FINGERPRINT_DIGITS = 32  # 128 bits: nobody finds a second key of the same fingerprint


@dataclass(frozen=True, slots=True)
class Verification:
    """What verifying a package came to.

    `altered` is the first file that is not as it was signed ("" where all are), `problem` says how. `fingerprint` names the key that signed
    ("" where nothing did), `signer` who that is as far as the reader knows ("" for an unknown key).
    """

    altered: str = ""
    problem: str = ""
    fingerprint: str = ""
    signer: str = ""
    unlisted: tuple[str, ...] = ()

    @property
    def is_verified(self) -> bool:
        """Whether every listed file is as it was signed, by a key that the reader knows."""
        return not self.problem and bool(self.signer)

    def __str__(self) -> str:
        by = f"signed by {self.signer} ({self.fingerprint})" if self.signer else f"signed by an unknown key ({self.fingerprint})"
        if not self.fingerprint:
            by = "no valid signature"
        if self.problem:
            return f"not verified: {self.altered}: {self.problem}; {by}"
        return f"verified: {by}" if self.signer else f"not verified: {by}"


def fingerprint_of(key: Ed25519PublicKey) -> str:
    """The name of a public key: 32 hexadecimal digits."""
    return hashlib.sha256(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).hexdigest()[:_FINGERPRINT_DIGITS]


def write_manifest(directory: Path, about: Mapping[str, str]) -> None:
    """Writes the manifest over every file of `directory`, with the members of `about` (run, verdict, edition) beside the hashes."""
    files = {name: _digest(directory / name) for name in _names(directory) if name not in _OWN_FILES}
    manifest = {"schema": MANIFEST_SCHEMA, **about, "files": files}
    (directory / MANIFEST_FILE).write_text(json.dumps(manifest, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (directory / SIGNATURE_FILE).unlink(missing_ok=True)


def sign(directory: Path, key: Ed25519PrivateKey) -> None:
    """Signs the package's manifest as it stands."""
    public = key.public_key()
    signature = {
        "schema": SIGNATURE_SCHEMA,
        "algorithm": "ed25519",
        "fingerprint": fingerprint_of(public),
        "public_key": _text(public.public_bytes(Encoding.Raw, PublicFormat.Raw)),
        "signature": _text(key.sign((directory / MANIFEST_FILE).read_bytes())),
    }
    (directory / SIGNATURE_FILE).write_text(json.dumps(signature, indent=1) + "\n", encoding="utf-8")


def verify(directory: Path, known: Mapping[str, str]) -> Verification:
    """Compares a package with its manifest and its signature. `known` maps fingerprints to the names of those who hold the keys."""
    try:
        manifest_bytes = (directory / MANIFEST_FILE).read_bytes()
        manifest = _members(manifest_bytes, MANIFEST_SCHEMA)
    except (OSError, ValueError) as error:
        return Verification(MANIFEST_FILE, f"cannot be read ({error})")
    try:
        fingerprint = _signed_by(directory / SIGNATURE_FILE, manifest_bytes)
    except InvalidSignature:
        return Verification(MANIFEST_FILE, "was altered after it was signed, or signed by another key")
    except (OSError, ValueError) as error:
        return Verification(SIGNATURE_FILE, f"cannot be read ({error})")
    listed = manifest.get("files", {})
    altered, problem = _first_alteration(directory, listed if isinstance(listed, dict) else {})
    unlisted = tuple(name for name in _names(directory) if name not in _OWN_FILES and name not in listed)
    return Verification(altered, problem, fingerprint, known.get(fingerprint, ""), unlisted)


_OWN_FILES = (MANIFEST_FILE, SIGNATURE_FILE)


def _names(directory: Path) -> list[str]:
    """Every file of the package, those in its one directory too, as a path from there."""
    own = [path.name for path in directory.iterdir() if path.is_file()]
    scripts = [f"{SCRIPTS_DIRECTORY}/{path.name}" for path in directory.glob(f"{SCRIPTS_DIRECTORY}/*") if path.is_file()]
    return sorted(own + scripts)


def _is_inside(name: str) -> bool:
    """Whether a manifest's name is one of its package's: no way up, no way out, nothing hidden."""
    base = name.removeprefix(f"{SCRIPTS_DIRECTORY}/")
    return "/" not in base and not base.startswith(".")


def _first_alteration(directory: Path, listed: Mapping[str, Any]) -> tuple[str, str]:
    if "report.json" not in listed:
        return "report.json", "is not in the manifest"
    for name, digest in listed.items():
        path = directory / name
        if not _is_inside(name):
            return name, "is no file of a package"
        if not path.is_file():
            return name, "is missing"
        if _digest(path) != digest:
            return name, "was altered: its SHA-256 is not the one that was signed"
    return "", ""


def _signed_by(path: Path, manifest: bytes) -> str:
    """The fingerprint of the key whose signature over `manifest` the file holds. Raises InvalidSignature, OSError, ValueError."""
    signature = _members(path.read_bytes(), SIGNATURE_SCHEMA)
    try:
        key = Ed25519PublicKey.from_public_bytes(_bytes(signature["public_key"]))
        raw = _bytes(signature["signature"])
    except (KeyError, TypeError) as error:
        raise ValueError(f"lacks {error}") from error
    key.verify(raw, manifest)
    # The fingerprint that the file claims is not believed: it is derived from the key that really verified.
    return fingerprint_of(key)


def _members(text: bytes, schema: str) -> dict[str, Any]:
    members = json.loads(text)
    if not isinstance(members, dict) or members.get("schema") != schema:
        raise ValueError(f"its schema is not {schema!r}")
    return members


def _digest(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        return {"sha256": hashlib.file_digest(file, "sha256").hexdigest(), "size_bytes": path.stat().st_size}


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
