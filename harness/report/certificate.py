"""What a certificate says besides its verdicts: the images that were really downloaded, the scope that remains, whether it is official."""

from collections.abc import Iterable
from dataclasses import dataclass

from harness.checks.device_fetches import Fetch, fetches
from harness.checks.verdict import CheckResult, Verdict
from harness.history.events import ScenarioStarted
from harness.history.timeline import History

# What these came to says nothing of the subject; their detail names what would change that.
_WITHOUT_A_WORD = (Verdict.NOT_APPLICABLE, Verdict.INCONCLUSIVE, Verdict.SKIPPED)


@dataclass(frozen=True, slots=True)
class DownloadedImage:
    """A file that went to the device whole and is in use there. `source` is its name in the device file, "" for one that we made.

    `shown_by` says what told of it: an observer, the hash in a result, or a result without a hash.
    """

    name: str
    source: str
    size_bytes: int
    sha256: str
    shown_by: str


@dataclass(frozen=True, slots=True)
class Remainder:
    """What stays open for one reason: the line of the target or device file, the option, or what would have made it visible."""

    reason: str
    verdict: Verdict
    checks: tuple[str, ...]
    requirements: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Official:
    """Whether a run makes an official certificate: it does where nothing is missing. `runs` counts this one and the reruns before it."""

    runs: int
    missing: tuple[str, ...] = ()

    @property
    def is_granted(self) -> bool:
        return not self.missing


def downloaded_images(history: History) -> tuple[DownloadedImage, ...]:
    """Every image that a run saw downloaded undisturbed, delivered whole and installed, each once, in order."""
    found: dict[str, DownloadedImage] = {}
    for fetch in fetches(_device_part(history)):
        if (
            fetch.stored is not None
            and not fetch.kind
            and _has_installed(fetch)
            and (fetch.was_delivered_whole or fetch.may_have_every_byte)
        ):
            facts = fetch.stored.fact.facts
            image = DownloadedImage(
                str(facts["name"]), str(facts.get("source", "")), int(facts["size_bytes"]), fetch.wanted_sha256, _shown_by(fetch)
            )
            found.setdefault(image.sha256, image)
    return tuple(found.values())


def remaining_scope(checks: Iterable[CheckResult]) -> tuple[Remainder, ...]:
    """What no check could say, by reason, in the order of the report."""
    open_checks: dict[tuple[str, Verdict], list[CheckResult]] = {}
    for check in checks:
        if check.verdict in _WITHOUT_A_WORD:
            open_checks.setdefault((check.detail, check.verdict), []).append(check)
    return tuple(
        Remainder(reason, verdict, tuple(check.id for check in members), _requirements(members))
        for (reason, verdict), members in sorted(open_checks.items(), key=lambda entry: _WITHOUT_A_WORD.index(entry[0][1]))
    )


def _requirements(checks: Iterable[CheckResult]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(requirement for check in checks for requirement in check.requirements))


def _device_part(history: History) -> History:
    """Without what was asked of a platform in the same run."""
    others = {seen.fact.name for seen in history.of(ScenarioStarted) if seen.fact.subject != "device"}
    return history.without(others) if others else history


def _has_installed(fetch: Fetch) -> bool:
    """Whether the stored file is in use: an observer or a hash in the result shows it, or a result without one says so."""
    return fetch.is_success if fetch.installed_sha256 is None else fetch.installed_sha256 == fetch.wanted_sha256


def _shown_by(fetch: Fetch) -> str:
    if fetch.seen_after is not None:
        return "an observer"
    return "the hash in its result" if fetch.installed_sha256 is not None else "its result, without a hash"
