"""DEV-12 under either policy of what uses up a download key (KEY-08), and what follows: from which platforms a device can be updated.

A downloader that asks for parts cannot finish where the first request uses the key up. That breaks no promise, as long as the old image
stays and the device says so; but whoever buys the board wants to know.
"""

from collections.abc import Iterator

from harness.checks.device_fetches import Fetch, fetches_under_key_policies
from harness.checks.device_view import declares
from harness.checks.registry import Observation, broken, check, kept
from harness.history.timeline import History
from harness.wire.json_values import sayable

_UPDATED = "updated"


@check("DEV-12a", unseen="no download under a key policy of the scenario's came to an end whose image can be seen")
def download_under_each_key_policy_is_whole_or_refused(history: History) -> Iterator[Observation]:
    """Whatever uses up a key, the whole file is installed or none; and a device that asks once for the whole file installs it."""
    asks_for_parts = declares(history).get("download") == "range"
    for fetch in fetches_under_key_policies(history):
        outcome = _outcome(fetch)
        if outcome == _UPDATED or (outcome and asks_for_parts and not _is_wrong(fetch)):
            yield kept(*fetch.evidence)
        # Why a device did not ask, or asked so that it was refused, other checks say (DEV-11, DEV-22).
        elif outcome and (fetch.ended_with_bytes or _is_wrong(fetch)):
            yield broken(f"where keys end with {fetch.key_policy}: {outcome}", *fetch.evidence)


def updates_by_key_policy(history: History) -> dict[str, str]:
    """What became of an update under each key policy that was tried: "updated", or why not; nothing where no device was asked."""
    if not any(history.stimuli("key policy")):
        return {}
    return {fetch.key_policy: outcome for fetch in fetches_under_key_policies(history) if (outcome := _outcome(fetch))}


def _is_wrong(fetch: Fetch) -> bool:
    return fetch.is_success or fetch.has_changed_the_image


def _outcome(fetch: Fetch) -> str:
    """What a download came to; "" where nothing shows it."""
    if fetch.installed_sha256 == fetch.wanted_sha256:
        return _UPDATED
    if _is_wrong(fetch):
        return f"another image than the stored one is in use: {fetch.installed_sha256}"
    if fetch.is_failure or fetch.seen_after is not None:
        return f"not updated: {sayable(fetch.said)}"
    return ""
