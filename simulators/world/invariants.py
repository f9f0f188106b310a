"""What must hold in every simulated run, as pure functions over its record. A finding is one sentence with the offending value.

Safety: whatever went wrong, nothing forbidden happened. Liveness: once nothing goes wrong any more, all that was owed is done within
`LIVENESS_S_MAX`. Blind spot: the device's word is taken for its effects; what devices do with packets is judged by `harness.checks`.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from harness.wire.commands import CONFIGURATION, REBOOT, RESET
from simulators.world.record import KeyUse, Record

LIVENESS_S_MAX = 1_800.0

REBOOT_S_MAX = 10.0
"""How long after the command the device may go down."""

# A request that arrives this close to the end of a key's life may be judged either way: the platform reads its clock a moment later.
_INSTANT_S = 0.005
# And `expires_at` is written in whole seconds, cut: the key lives on until its thirty minutes are over.
_CUT_S_MAX = 1.0


@dataclass(frozen=True, slots=True)
class Finding:
    """A broken promise. `rule` is the name of the function that found it."""

    rule: str
    requirement: str
    detail: str


_Rule = Callable[[Record], Iterator[str]]
_RULES: list[tuple[str, _Rule]] = []


def _rule(requirement: str) -> Callable[[_Rule], _Rule]:
    def register(rule: _Rule) -> _Rule:
        _RULES.append((requirement, rule))
        return rule

    return register


def judge(record: Record) -> list[Finding]:
    """All findings of a run, in the order of the rules."""
    return [Finding(rule.__name__, requirement, detail) for requirement, rule in _RULES for detail in rule(record)]


def rule_names() -> list[str]:
    """The names of all rules."""
    return [rule.__name__ for _, rule in _RULES]


# --- commands


@_rule("CMD-03")
def no_command_has_two_effects(record: Record) -> Iterator[str]:
    """Numbered commands by their number, downloads by their key."""
    counts = Counter((item.device, item.command, item.number, item.key) for item in record.executed)
    for (device, command, number, key), count in counts.items():
        if count > 1:
            yield f"{device} executed {command} number {number} (key {key or 'none'}) {count} times"


@_rule("CMD-02")
def every_effect_has_its_command(record: Record) -> Iterator[str]:
    """By count: no device executes a command more often than it was sent to it."""
    sent = Counter((item.device, item.command) for item in record.sent)
    executed = Counter((item.device, item.command) for item in record.executed)
    for (device, command), count in executed.items():
        if count > sent[device, command]:
            yield f"{device} executed {command} {count} times, sent were {sent[device, command]}"


@_rule("CMD-20")
def every_accepted_command_has_its_effect(record: Record) -> Iterator[str]:
    """Within the time that liveness allows."""
    yield from unexecuted(record)


def unexecuted(record: Record) -> list[str]:
    """Accepted commands without an effect so far; by count, as downloads carry no number. The broker keeps sessions over restarts."""
    owed = Counter((item.device, item.command) for item in record.sent if item.status == 200)
    executed = Counter((item.device, item.command) for item in record.executed)
    return [
        f"{device} executed {command} {executed[device, command]} times, accepted were {count}"
        for (device, command), count in owed.items()
        if executed[device, command] < count
    ]


@_rule("CMD-21")
def numbered_commands_keep_their_order(record: Record) -> Iterator[str]:
    """Of two commands of one name to one device, one was accepted before the other was sent: it has its effect first."""
    answered_s = {item.number: item.answered_at_s for item in record.sent if item.status == 200}
    sent_s = {item.number: item.sent_at_s for item in record.sent}
    before: dict[tuple[str, str], list[int]] = defaultdict(list)
    for effect in record.executed:
        if not effect.number:
            continue
        for earlier in before[effect.device, effect.command]:
            answered_at_s = answered_s.get(effect.number)
            if answered_at_s is not None and answered_at_s < sent_s.get(earlier, 0.0):
                yield f"{effect.device} executed {effect.command} number {effect.number} after number {earlier}, which was sent later"
        before[effect.device, effect.command].append(effect.number)


# --- keys


def _uses_by_key(record: Record) -> dict[str, list[KeyUse]]:
    uses: dict[str, list[KeyUse]] = defaultdict(list)
    for use in record.uses:
        uses[use.key].append(use)
    return uses


def _owners(record: Record) -> dict[str, str]:
    return {item.key: item.device for item in record.executed if item.key}


def _ends_utc_s(record: Record) -> dict[str, float]:
    return {item.key: item.expires_utc_s for item in record.executed if item.key}


@_rule("KEY-03")
def a_key_serves_once(record: Record) -> Iterator[str]:
    """Under the policy first-use: at most one 200."""
    for key, uses in _uses_by_key(record).items():
        served = [use for use in uses if use.status == 200]
        if len(served) > 1:
            yield f"key {key} was served {len(served)} times, at {', '.join(f'{use.at_s:.3f}' for use in served)} s"


@_rule("KEY-01")
def a_dead_key_is_refused(record: Record) -> Iterator[str]:
    """By the server's wall clock when the request came in."""
    ends = _ends_utc_s(record)
    for use in record.uses:
        late_s = use.utc_s - ends.get(use.key, float("inf"))
        if use.status == 200 and late_s > _CUT_S_MAX + _INSTANT_S:
            yield f"key {use.key} was served {late_s:.3f} s after its life"


@_rule("KEY-04")
def a_key_serves_its_own_device_only(record: Record) -> Iterator[str]:
    """The token of another device is refused."""
    owners = _owners(record)
    for use in record.uses:
        if use.status == 200 and use.device != owners.get(use.key, use.device):
            yield f"key {use.key} of {owners[use.key]} was served to {use.device}"


@_rule("KEY-05")
def an_unused_key_works(record: Record) -> Iterator[str]:
    """Its device is not refused while nobody was served and the life is not over.

    A key whose end the server's clock had passed before it was set back may stay dead.
    """
    owners, ends = _owners(record), _ends_utc_s(record)
    for key, uses in _uses_by_key(record).items():
        was_served = False
        for use in uses:
            was_served = was_served or use.status in (200, None)
            latest_utc_s = max([use.utc_s, *(utc_s for at_s, utc_s in record.steps_utc_s if at_s <= use.at_s)])
            is_alive = latest_utc_s < ends.get(key, 0.0) - _INSTANT_S
            if use.status in (401, 403) and use.device == owners.get(key) and is_alive and not was_served:
                yield f"key {key} was refused to {use.device} with {use.status} at {use.at_s:.3f} s though nobody had used it"


# --- downloads


@_rule("DEV-12")
def what_is_installed_is_what_was_offered(record: Record) -> Iterator[str]:
    """The image in use is one of the platform's, byte for byte."""
    for state in (*record.states, *record.ends):
        if state.image and state.image not in record.images:
            yield f"{state.device} runs an image {state.image[:12]}… that nobody offered"
        if state.image and state.area != state.image:
            yield f"at {state.at_s:.3f} s {state.device} says it runs {state.image[:12]}… but its flash holds {state.area[:12]}…"


@_rule("DEV-09")
def the_last_configuration_is_in_force(record: Record) -> Iterator[str]:
    """At the end each device has the configuration of the last command that set one."""
    last = {item.device: item for item in record.executed if item.command in (CONFIGURATION, RESET)}
    for end in record.ends:
        effect = last.get(end.device)
        expected = effect.number if effect is not None and effect.command == CONFIGURATION else 0
        if end.configured != expected:
            yield f"{end.device} has the configuration of command {end.configured}, the last one that it executed was {expected}"


@_rule("DEV-25")
def every_download_has_one_result(record: Record) -> Iterator[str]:
    """Whatever came in between, each offer that a device took ends with success or failure, once."""
    counts = Counter((item.device, item.key) for item in record.results)
    for device, key in {(item.device, item.key): None for item in record.executed if item.key}:
        if counts[device, key] != 1 and record.quiet_after_s is not None:
            yield f"{device} gave {counts[device, key]} results for the offer with key {key}"


@_rule("DLD-05")
def an_undisturbed_download_completes(record: Record) -> Iterator[str]:
    """Where nothing but a step of the wall clock came in between, a served download is installed."""
    served = {use.key: use for use in record.uses if use.status == 200 and use.host == use.device}
    for result in record.results:
        use = served.get(result.key)
        if use is not None and not result.is_success and not _is_disturbed(record, result.device, use.at_s, result.at_s):
            yield f"{result.device} was served key {result.key} but did not install it: {result.message}"


def _is_disturbed(record: Record, device: str, from_s: float, to_s: float) -> bool:
    """Whether a fault that a download may feel lasted into that time, a step of a wall clock is none; or a reboot was asked for."""
    if any(item.device == device and item.command == REBOOT and from_s - REBOOT_S_MAX <= item.at_s <= to_s for item in record.executed):
        return True
    return any(
        fault.kind != "clock step" and fault.host in (device, "server") and fault.at_s <= to_s and fault.until_s >= from_s
        for fault in record.faults
    )


@_rule("harness")
def nothing_fails_unseen(record: Record) -> Iterator[str]:
    """No exception that nobody caught, no answer 500, no end of the world."""
    yield from record.unhandled
    for at_s, endpoint, status in record.server_errors:
        yield f"at {at_s:.3f} s the endpoint {endpoint} answered {status}"
    if record.stopped:
        yield record.stopped


@_rule("DEV-20")
def everything_owed_is_done_in_the_end(record: Record) -> Iterator[str]:
    """Liveness: devices listen, downloads have ended, results have left."""
    if record.quiet_after_s is None and not record.stopped:
        yield f"{LIVENESS_S_MAX:g} s after the last fault was healed: {'; '.join(record.pending)}"
