"""TLS as the user's files name it: the table `[platform.tls]`, the context that it makes, and whether PEM files hold what they should."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from pydantic import model_validator

from harness.bench.toml_file import Table, require_file
from harness.errors import ConfigurationError

T = TypeVar("T", bound=Table)

# OpenSSL asks at the terminal for the password of a key that has one, unless it is told one; this one opens none.
_NO_PASSWORD = ""


class Tls(Table):
    """How the target's certificates are judged, and what we show of ourselves. Paths are relative to the target file."""

    ca: Path | None = None
    client_cert: Path | None = None
    client_key: Path | None = None
    insecure: bool = False

    @model_validator(mode="after")
    def _has_a_certificate_for_its_key(self) -> "Tls":
        if self.client_key is not None and self.client_cert is None:
            raise ValueError("client_key is of no use without client_cert")
        return self


def ssl_context(tls: Tls) -> ssl.SSLContext:
    """A client's context: the system's authorities and the file's own, our certificate where one is named.

    Raises OSError where a file is no longer what it was when the target file was read.
    """
    context = ssl.create_default_context()
    if tls.ca is not None:
        context.load_verify_locations(cafile=tls.ca)
    if tls.client_cert is not None:
        context.load_cert_chain(tls.client_cert, tls.client_key, password=_NO_PASSWORD)
    if tls.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def with_pem_files(path: Path, table: str, read: T, *, authority: str, pair: tuple[str, str]) -> T:
    """The table that was read from the user's file at `path`, with the PEM files that it names as absolute paths.

    `authority` and `pair` are its keys for whom to trust, and for a certificate and its private key. Raises ConfigurationError where one of
    them names no file, or one that does not hold what it should.
    """
    files = {key: path.absolute().parent / file for key in (authority, *pair) if (file := getattr(read, key)) is not None}
    for key, file in files.items():
        require_file(path, table, key, file)
    if authority in files:
        with _as_mistake(path, table, {authority: files[authority]}, "no certificate of an authority (PEM)"):
            ssl.create_default_context(cafile=files[authority])
    if own := {key: files[key] for key in pair if key in files}:
        with _as_mistake(path, table, own, "no certificate with its private key (PEM, without a password)"):
            ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(own[pair[0]], own.get(pair[1]), _NO_PASSWORD)
    return read.model_copy(update=files)


@contextmanager
def _as_mistake(path: Path, table: str, files: dict[str, Path], lacks: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:  # ssl.SSLError is one
        named = ", ".join(repr(str(file)) for file in files.values())
        raise ConfigurationError(str(path), table, ", ".join(files), f"{lacks} is in {named}: {error}") from error
