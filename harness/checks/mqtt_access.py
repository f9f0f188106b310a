"""The family CMD, fourth part: who may connect to the broker, what is granted there, and what a device may read and write."""

from collections.abc import Iterator

from harness.checks.registry import Observation, broken, check, kept
from harness.history.events import MqttClosed, MqttPacket
from harness.history.timeline import History, Seen
from harness.wire.topics import control_filter, control_topic, is_of_device, parse_control_topic

_REFUSED_LOGIN = (4, 5)


def _connects(history: History) -> Iterator[tuple[Seen[MqttPacket], Seen[MqttPacket] | None, bool]]:
    """Each CONNECT of ours with its CONNACK, and whether the connection was closed by the target."""
    connacks = {seen.fact.connection: seen for seen in history.packets("CONNACK")}
    hung_up = {seen.fact.connection for seen in history.of(MqttClosed) if seen.fact.closed_by == "peer"}
    for seen in history.packets("CONNECT"):
        yield seen, connacks.get(seen.fact.connection), seen.fact.connection in hung_up


def _has_own_token(connect: MqttPacket) -> bool:
    return connect.username == connect.client_id and connect.password == f"<token:{connect.username}>"


def _is_under_another_name(connect: MqttPacket) -> bool:
    """Whether a client logs in as a device and calls itself otherwise: what that may read is CMD-23b's question."""
    return connect.username is not None and connect.username != connect.client_id


@check("CMD-23a", unseen="no device tried to connect with a wrong token")
def wrong_token_is_refused_at_connect(history: History) -> Iterator[Observation]:
    """The device token is the device's MQTT password: it is accepted, and a wrong one is refused at CONNECT."""
    devices = {device["id"] for device in history.start.target.get("devices", ())}
    welcome: set[str] = set()
    for connect, connack, hung_up in _connects(history):
        device_id = connect.fact.client_id or ""
        code = connack.fact.return_codes[0] if connack and connack.fact.return_codes else None
        if (connect.fact.username or device_id) not in devices or _is_under_another_name(connect.fact):
            continue
        if _has_own_token(connect.fact):
            if code == 0:
                welcome.add(device_id)
            elif code in _REFUSED_LOGIN and device_id not in welcome:
                # A device that got in before and is refused now is rather banned for what came between.
                yield broken(f"device {device_id} was refused with its own token (return code {code}), allowed: 0", connect)
        elif code == 0:
            yield broken(
                f"CONNECT as {connect.fact.username or 'nobody'} with {_shown(connect.fact)} was accepted, allowed: return code 4 or 5",
                connect,
            )
        elif code is not None or hung_up:
            yield kept(connect)


def _shown(connect: MqttPacket) -> str:
    return "no password" if connect.password is None else f"the password {connect.password!r}"


@check("CMD-23b", unseen="no device tried to read or write another device's topics")
def device_reaches_its_own_topics_only(history: History) -> Iterator[Observation]:
    """A device reads and writes only below its own id, judged by what is delivered."""
    for seen in history.stimuli("reaching out"):
        intruder, victim = str(seen.fact.facts["device_id"]), str(seen.fact.facts["victim_id"])
        scope = seen.event.scope
        found = [delivery for delivery in history.deliveries if delivery.seen.event.scope == scope and delivery.line > seen.line]
        overheard = [
            delivery for delivery in found if delivery.message.device_id == intruder and is_of_device(delivery.message.topic, victim)
        ]
        forged = [
            delivery
            for delivery in found
            if delivery.message.device_id == victim
            and (delivery.message.topic, delivery.message.payload) in _published_by(history, intruder)
        ]
        if overheard:
            yield broken(f"device {intruder} read {overheard[0].message.topic!r} of another device", seen, *overheard)
        elif forged:
            yield broken(f"device {intruder} wrote {forged[0].message.topic!r}, and it was delivered", seen, *forged)
        else:
            yield kept(seen)


def _published_by(history: History, device_id: str) -> set[tuple[str, str]]:
    published = (seen.fact for seen in history.packets("PUBLISH", device_id=device_id) if seen.fact.sent_by == "client")
    return {(packet.topic or "", packet.payload or "") for packet in published}


@check("CMD-26a", "CMD-26b", unseen="no device asked for QoS 2 on its control topics")
def qos_2_is_granted(history: History) -> Iterator[Observation]:
    """A device is granted QoS 2 when it asks for it on its control topics."""
    subacks = {(seen.fact.connection, seen.fact.packet_id): seen for seen in history.packets("SUBACK")}
    for subscribe in history.packets("SUBSCRIBE"):
        suback = subacks.get((subscribe.fact.connection, subscribe.fact.packet_id))
        if suback is None or subscribe.fact.filters is None or suback.fact.return_codes is None:
            continue
        for (name, qos), code in zip(subscribe.fact.filters, suback.fact.return_codes, strict=False):
            requirement = _grant_rule(subscribe.fact.device_id, name)
            if qos != 2 or requirement is None:
                continue
            if code == 2:
                yield kept(subscribe, suback)
            else:
                detail = f"{name!r} was granted {'0x80 (failure)' if code == 0x80 else code}, allowed: 2"
                yield broken(detail, subscribe, suback, requirement=requirement)


def _grant_rule(device_id: str, name: str) -> str | None:
    """The requirement that speaks of a subscription; None for those outside of the device's control topics."""
    if name in (control_filter(device_id), control_topic(device_id, "#")):
        return "CMD-26b"
    topic = parse_control_topic(name)
    is_exact = topic is not None and topic.device_id == device_id and topic.role == "control" and topic.command not in "+#"
    return "CMD-26a" if is_exact else None


@check("CMD-27", "CMD-28", unseen="no device published a result")
def device_may_publish_its_result(history: History) -> Iterator[Observation]:
    """A device may publish to its result topics, of custom commands too, without being disconnected."""
    for seen in history.packets("PUBLISH"):
        packet = seen.fact
        topic = parse_control_topic(packet.topic or "")
        if packet.sent_by != "client" or topic is None or topic.role != "result" or topic.device_id != packet.device_id:
            continue
        later = [
            event for event in history.events if event.line > seen.line and getattr(event.fact, "connection", None) == packet.connection
        ]
        done = any(isinstance(event.fact, MqttPacket) and _completes(event.fact, packet) for event in later)
        end = next((event.fact for event in later if isinstance(event.fact, MqttClosed)), None)
        if end is not None and end.closed_by == "peer":
            yield broken(f"the connection was closed after a PUBLISH to {packet.topic!r}, allowed: it goes on", seen, requirement="CMD-27")
        elif done:
            yield kept(seen)
        elif packet.qos:
            yield broken(f"a PUBLISH to {packet.topic!r} with QoS {packet.qos} was never acknowledged", seen, requirement="CMD-27")


def _completes(packet: MqttPacket, published: MqttPacket) -> bool:
    last = {1: "PUBACK", 2: "PUBCOMP"}.get(published.qos or 0)
    return packet.sent_by == "server" and packet.type == last and packet.packet_id == published.packet_id
