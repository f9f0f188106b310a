"""Who may call: organisations, projects, devices, API keys, and how each proves who it is.

An API key comes as `Authorization: Bearer QB_…` and belongs to an organisation; a device token comes raw, as
`Authorization: Basic {token}`, and is the device's MQTT password as well (DLD-13, DLD-14). Only digests of both are known here.
Looking records up is left to the store.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness.wire.commands import DeviceKind
from simulators.platform.refusals import Refusal

SEND_COMMANDS = "send-commands"
SECRET_LENGTH_MAX = 512  # characters of an API key or token; longer ones are malformed


@dataclass(frozen=True, slots=True)
class Organisation:
    """`has_feature`: Device Communication is switched on for it (CMD-22)."""

    id: str
    name: str
    has_feature: bool


@dataclass(frozen=True, slots=True)
class Project:
    id: str
    organisation_id: str
    name: str


@dataclass(frozen=True, slots=True)
class Device:
    """A device and its metadata; `allowed_commands` is semicolon-separated, empty permits all (CMD-15)."""

    id: str
    project_id: str
    organisation_id: str
    name: str
    kind: DeviceKind
    allowed_commands: str
    disposable: bool = True


@dataclass(frozen=True, slots=True)
class Caller:
    """The bearer of a valid API key: its organisation, and what the key may do."""

    key_name: str
    organisation: Organisation
    scopes: frozenset[str]


def secret_digest(secret: str) -> bytes:
    """What is stored and looked up instead of a token or key.

    They hold 128 random bits or more, so one round of SHA-256 cannot be turned back, and a lookup by digest tells nothing by its timing.
    """
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def credential_of(authorization: Sequence[str], scheme: str) -> str | None:
    """The one credential that the `Authorization` fields carry under `scheme` (in any case); None where they are absent or malformed.

    Source: CMD-13, DLD-02; the scheme's case: RFC 9110 11.1.
    """
    if len(authorization) != 1:
        return None
    given_scheme, blank, credential = authorization[0].partition(" ")
    credential = credential.lstrip(" ")
    if not blank or given_scheme.lower() != scheme.lower() or not 0 < len(credential) <= SECRET_LENGTH_MAX:
        return None
    return credential if all("!" <= character <= "~" for character in credential) else None


def api_key_of(authorization: Sequence[str]) -> str | None:
    """The API key of a request.   Source: CMD-13."""
    return credential_of(authorization, "Bearer")


def device_token_of(authorization: Sequence[str]) -> str | None:
    """The raw device token of a request.   Source: DLD-02, DLD-14."""
    return credential_of(authorization, "Basic")


def is_enabled(organisation: Organisation) -> bool:
    """Whether the organisation has the Device Communication feature.   Source: CMD-22."""
    return organisation.has_feature


@dataclass(frozen=True, slots=True)
class AccessRules:
    """The decisions of this core; a wrong platform replaces one."""

    api_key_of: Callable[[Sequence[str]], str | None] = api_key_of
    device_token_of: Callable[[Sequence[str]], str | None] = device_token_of
    is_enabled: Callable[[Organisation], bool] = is_enabled
    may_send: Callable[[frozenset[str]], bool] = lambda scopes: SEND_COMMANDS in scopes
    may_list: Callable[[frozenset[str]], bool] = lambda scopes: True  # LST-11


def refuse_stranger(caller: Caller | None) -> Refusal | None:
    """Source: CMD-13, LST-05."""
    return None if caller else Refusal(401, "invalid_api_key", "Invalid or missing API key")


def refuse_without_feature(organisation: Organisation, rules: AccessRules) -> Refusal | None:
    """Source: CMD-22."""
    if rules.is_enabled(organisation):
        return None
    return Refusal(403, "feature_disabled", "Device Communication is not enabled for this organization")


def refuse_without_scope(caller: Caller, rules: AccessRules) -> Refusal | None:
    """Source: CMD-14."""
    if rules.may_send(caller.scopes):
        return None
    return Refusal(403, "missing_scope", f"API key lacks the scope '{SEND_COMMANDS}'")
