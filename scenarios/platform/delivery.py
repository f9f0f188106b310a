"""Questions about delivery: cut connections, queued commands, names that want to be topics, and who may listen."""

from typing import Any

from harness.bench.target import Platform, TargetDevice
from harness.operations import Announce, Connect, Disconnect, Publish, Receive, Together, Wait
from harness.scenario import Cast, DeviceNeed, Needs, Workload, scenario
from harness.wire.commands import CONFIGURATION, REBOOT, SEND_CONFIGURATION, STANDARD_COMMANDS
from harness.wire.topics import control_filter, control_topic, result_topic
from scenarios.platform.commands import ARRIVES
from scenarios.platform.steps import ARRIVES_WITHIN_S, CUSTOM, UNLISTED, Step, command_call, send, send_all, watch, watch_end

_ONCE = ("command_arrives_exactly_once", "command_arrives_on_no_other_topic", "command_is_not_retained", "command_is_published_with_qos_2")
_SECOND_COPY_WITHIN_S = 0.3


@scenario(*_ONCE, "cut_exchange_is_taken_up_again", duration_s=3.0)
def command_across_a_dropped_connection(cast: Cast) -> Workload:
    """The connection is cut after each packet of the exchange, and resumed: the command comes once."""
    platform, device = cast.platform, cast.device
    for number, cut_after in enumerate(("received PUBLISH", "sent PUBREC", "received PUBREL", "sent PUBCOMP")):
        connected = yield from watch(device, clean_session=False, announcement="session kept")
        if not connected.is_accepted:
            return
        yield Disconnect(device.id)
        yield Connect(device.id, clean_session=False, cut_after=cut_after)
        yield from send(platform, device, CONFIGURATION, {"cut": number})
        came = yield Receive(device.id, within_s=_SECOND_COPY_WITHIN_S)
        yield Disconnect(device.id, abruptly=True)
        yield Connect(device.id, clean_session=False)
        yield from _the_rest(device.id, already=len(came))
        yield from send(platform, device, CONFIGURATION, {"after the cut": number})  # What was cut off must have come before it.
        yield Receive(device.id, within_s=ARRIVES_WITHIN_S)
        yield Disconnect(device.id)


def _the_rest(device_id: str, *, already: int) -> Step[Any]:
    """Waits for the one message that is due, if it has not come already, and a moment for a copy of it."""
    if not already:
        yield Receive(device_id, within_s=ARRIVES_WITHIN_S)
    yield Receive(device_id, within_s=_SECOND_COPY_WITHIN_S)


_QUEUED = 120  # more than the hundred that brokers like to keep
_LANES = 8


def _send_many(platform: Platform, device: TargetDevice, count: int, name: str) -> Step[int]:
    """Sends numbered configurations, some one after the other, some side by side; returns how many were accepted."""
    accepted = 0
    numbers = list(range(count))
    while numbers:
        width = _LANES if len(numbers) % 3 else 1
        batch, numbers = numbers[:width], numbers[width:]
        answers = yield Together(tuple(command_call(platform, device, CONFIGURATION, {name: number}) for number in batch))
        accepted += sum(answer.status == 200 for answer in answers)
    return accepted


def _receive_all(device_id: str, count: int) -> Step[None]:
    """Waits for so many messages, as long as there come more."""
    while count > 0:
        came = yield Receive(device_id, count=count, within_s=ARRIVES_WITHIN_S)
        if not came:
            return
        count -= len(came)


@scenario(*_ONCE, "commands_arrive_in_order", duration_s=2.0)
def queued_commands(cast: Cast) -> Workload:
    """Commands queued for an offline session come once, in order, with RETAIN 0; a later subscriber finds nothing stored."""
    platform, device = cast.platform, cast.device
    yield from watch(device, clean_session=False, announcement="session kept")
    yield Disconnect(device.id)
    accepted = yield from _send_many(platform, device, _QUEUED, "queued")
    yield Connect(device.id, clean_session=False)
    yield from _receive_all(device.id, accepted)
    yield Receive(device.id, count=_QUEUED, within_s=_SECOND_COPY_WITHIN_S)
    yield Disconnect(device.id)
    yield from watch(device, announcement="subscribed later")
    yield Receive(device.id, within_s=_SECOND_COPY_WITHIN_S)


@scenario("clean_session_gets_nothing_later", "command_is_not_retained", duration_s=1.5)
def offline_with_a_clean_session(cast: Cast) -> Workload:
    """A command to a device that is offline with a clean session is gone."""
    platform, device = cast.platform, cast.device
    yield from watch(device, announcement="subscribed")
    yield Disconnect(device.id)
    yield Announce("offline with a clean session", {"device_id": device.id})
    for number in range(3):
        yield from send(platform, device, CONFIGURATION, {"offline": number})
    yield from watch(device, announcement="subscribed again")
    yield Receive(device.id, count=3, within_s=0.7)


_BURST = 200


@scenario("commands_arrive_in_order", "command_arrives_exactly_once", "accepted_command_reaches_its_device", duration_s=3.0)
def burst_of_commands(cast: Cast) -> Workload:
    """Two hundred commands of one name, some one after the other, some side by side."""
    platform, device = cast.platform, cast.device
    yield from watch(device)
    accepted = yield from _send_many(platform, device, _BURST, "burst")
    yield from watch_end(platform, device, accepted)


@scenario("commands_arrive_in_order", "command_arrives_exactly_once")
def commands_of_several_names(cast: Cast) -> Workload:
    """Commands of different names, one after the other."""
    yield from watch(cast.device)
    names = (CONFIGURATION, CUSTOM, UNLISTED)
    accepted = yield from send_all(cast.platform, cast.device, [(names[number % 3], {"step": number}) for number in range(30)])
    yield from watch_end(cast.platform, cast.device, accepted)


_TWO = Needs(devices={"device": DeviceNeed(), "other": DeviceNeed(beside="device")})


@scenario(*ARRIVES, needs=_TWO)
def everything_below_two_devices(cast: Cast) -> Workload:
    """Two devices of a project listen to all topics of their own while one of them gets commands."""
    platform, device, other = cast.platform, cast.devices["device"], cast.devices["other"]
    for listener in (device, other):
        connected = yield Connect(listener.id, filters=((f"{listener.id}/#", 2),))
        if connected.granted != (2,):
            yield from watch(listener)
        elif connected.is_accepted:
            yield Announce("watching", {"device_id": listener.id})
    commands = [(command, {"addressee": number}) for number, command in enumerate((CONFIGURATION, CUSTOM, CONFIGURATION))]
    accepted = yield from send_all(platform, device, commands)
    yield from watch_end(platform, device, accepted)
    yield from watch_end(platform, other)


@scenario(*ARRIVES, "qos_2_is_granted")
def exact_subscriptions(cast: Cast) -> Workload:
    """A device subscribes to its exact control topics, and gets its commands there."""
    platform, device = cast.platform, cast.device
    filters = tuple((control_topic(device.id, name), 2) for name in (*STANDARD_COMMANDS, CUSTOM))
    connected = yield Connect(device.id, filters=filters)
    if not connected.is_accepted or 0x80 in connected.granted:
        return
    yield Announce("watching", {"device_id": device.id})
    accepted = yield from send_all(platform, device, [(command, {"exact": command}) for command in (CONFIGURATION, CUSTOM)])
    yield from watch_end(platform, device, accepted)


@scenario("qos_2_is_granted")
def wildcard_subscriptions(cast: Cast) -> Workload:
    """A device subscribes to the wildcards below its control topic."""
    for name in (control_filter(cast.device.id), control_topic(cast.device.id, "#")):
        yield Connect(cast.device.id, filters=((name, 2),))
        yield Disconnect(cast.device.id)


_HUNG_UP_WITHIN_S = 0.6  # A server may look at what was published after it has acknowledged it.


@scenario("device_may_publish_its_result")
def results_of_commands(cast: Cast) -> Workload:
    """A device answers every command and custom ones on their result topics; briefly, at length, and with what is no JSON."""
    device = cast.device
    yield from watch(device, announcement="subscribed")
    for command in (*STANDARD_COMMANDS, CUSTOM, "hil_never_sent"):
        for qos in (2, 1):
            yield Publish(device.id, result_topic(device.id, command), b'{"success": true, "message": "done"}', qos=qos)
    for payload in (b'{"configuration": "%s"}' % (b"x" * 4_096), b"done", b""):
        yield Publish(device.id, result_topic(device.id, SEND_CONFIGURATION), payload)
    yield Wait(_HUNG_UP_WITHIN_S)


_NAMES = (
    "a/b",
    "configuration/result",
    "/",
    "configuration/",
    "+",
    "#",
    "con+figuration",
    "configuration#",
    "\x00",
    "config\x00uration",
    "line\nbreak",
    "tab\there",
    "next\x85line",
    "\x7f",
    "$SYS",
    "$share/group/x",
    "..",
    "../control/configuration",
    "x" * 65,
    "x" * 300,
    "ü" * 33,
)


_LEVELS = (
    "two words",
    " blink_led",
    "blink_led ",
    "blink%5Fled",
    "%62link_led",
    "100%",
    "Caf\u00e9",
    "Cafe\u0301",
    "\u212bngstr\u00f6m",
    "\u0130stanbul",
    "a.b:c,d;e=f",
    'it\'s "so" \\',
    "&lt;",
    "{command}",
    "%s",
    "x" * 64,
)


@scenario("command_arrives_on_no_other_topic", "accepted_command_reaches_its_device", "permitted_command_is_accepted", duration_s=2.0)
def names_that_are_unusual_topic_levels(cast: Cast) -> Workload:
    """Custom commands with blanks, escapes, accents and at full length: each is refused, or arrives under just that name."""
    platform, device = cast.platform, cast.device
    yield from watch(device)
    accepted = yield from send_all(platform, device, [(name, {"unusual": number}) for number, name in enumerate(_LEVELS)])
    yield from watch_end(platform, device, accepted)


@scenario("command_name_stays_in_its_topic", "error_bodies_follow_the_contract", alone=True, duration_s=2.0)
def names_that_are_no_topic_level(cast: Cast) -> Workload:
    """Command names with separators, wildcards, control characters, path parts and excess length, while the device listens."""
    yield from _inject(cast, cast.device, _NAMES)


@scenario("command_name_stays_in_its_topic", needs=_TWO, alone=True)
def names_that_point_at_another_device(cast: Cast) -> Workload:
    """Command names that climb to another device's topics, while both listen."""
    other = cast.devices["other"]
    yield Connect(other.id, filters=((f"{other.id}/#", 2),))
    # Harmless ones: a platform that lets them through must not disturb a device that is not disposable.
    names = (f"../../{other.id}/control/configuration", f"/{other.id}/control/configuration", f"../{other.id}", "../control/configuration")
    yield from _inject(cast, cast.devices["device"], names)
    yield Receive(other.id, within_s=0.2)


def _inject(cast: Cast, device: TargetDevice, names: tuple[str, ...]) -> Workload:
    yield Connect(device.id, filters=((f"{device.id}/#", 2),))
    for number, name in enumerate(names):
        yield from send(cast.platform, device, name, {"injected": number})
    yield from watch_end(cast.platform, device)


@scenario("device_reaches_its_own_topics_only", needs=_TWO, alone=True, duration_s=2.0)
def devices_that_reach_out(cast: Cast) -> Workload:
    """A device listens to, and writes to, the topics of another device of its project: its commands, its results and its telemetry."""
    platform, intruder, victim = cast.platform, cast.devices["device"], cast.devices["other"]
    facts = {"device_id": intruder.id, "victim_id": victim.id}
    yield from watch(victim, announcement="subscribed")
    result = result_topic(victim.id, CONFIGURATION)
    for name in (
        f"{victim.id}/#",
        control_filter(victim.id),
        control_topic(victim.id, CONFIGURATION),
        result,
        victim.id,
        "+/control/+",
        "#",
    ):
        connected = yield Connect(intruder.id, filters=((name, 2),))
        if not connected.is_accepted:
            continue
        yield Announce("reaching out", facts)
        yield from send(platform, victim, CONFIGURATION, {"overheard": name})
        yield Receive(victim.id, within_s=ARRIVES_WITHIN_S)
        for topic in (result, victim.id):
            yield Publish(victim.id, topic, b'{"overheard": "%s"}' % name.encode())
        yield Receive(intruder.id, within_s=0.2)
    connected = yield Connect(victim.id, filters=((f"{victim.id}/#", 2),))
    if connected.granted != (2,):
        yield from watch(victim, announcement="subscribed")
    for topic in (control_topic(victim.id, CONFIGURATION), control_topic(victim.id, REBOOT), result, victim.id):
        for qos in (0, 2):
            connected = yield Connect(intruder.id)
            if connected.is_accepted:
                yield Announce("reaching out", facts)
                payload = b'{"forged": "%s by qos %d"}' % (topic.encode(), qos)
                yield Publish(intruder.id, topic, payload, qos=qos, within_s=0.5)
                yield Receive(victim.id, within_s=0.2)


@scenario("device_reaches_its_own_topics_only", needs=_TWO, alone=True)
def device_under_another_name(cast: Cast) -> Workload:
    """A device logs in as itself, and calls itself by the client id of another one, for which a command is queued."""
    platform, intruder, victim = cast.platform, cast.devices["device"], cast.devices["other"]
    yield from watch(victim, clean_session=False, announcement="subscribed")
    yield Disconnect(victim.id)
    yield from send(platform, victim, CONFIGURATION, {"queued for": victim.id})
    yield Announce("reaching out", {"device_id": intruder.id, "victim_id": victim.id})
    yield Connect(intruder.id, clean_session=False, client_id=victim.id)
    yield Receive(intruder.id, within_s=_SECOND_COPY_WITHIN_S)
    yield Disconnect(intruder.id)


@scenario("wrong_token_is_refused_at_connect", alone=True, duration_s=1.0)
def logins_with_wrong_tokens(cast: Cast) -> Workload:
    """A device connects with its own token, then with others' and with parts of its own, with none, and with no name at all."""
    device = cast.device
    others = [each.token for each in cast.platform.devices if each.id != device.id][:2]
    yield Connect(device.id)
    yield Disconnect(device.id)
    token = device.token
    strangers = ("hil-token-of-nobody", cast.platform.api_keys.full, device.id, "")
    for wrong in (*others, token[:-1], token + "x", token.swapcase(), *strangers):
        if wrong != token:
            yield Connect(device.id, token=wrong)
            yield Disconnect(device.id, abruptly=True)
    for nameless in (True, False):
        yield Connect(device.id, anonymously=nameless, without_password=True)
        yield Disconnect(device.id, abruptly=True)
    yield Connect(device.id)
    yield command_call(cast.platform, device, CONFIGURATION, {"login": True})
