"""Trials of retained messages: what is stored, who gets it, and with which RETAIN."""

from simulators.broker.trial import Arena, Seen, Trial, acknowledge, saw, trial


@trial("BRK-11", "CMD-04", "MQTT-3.3.1-12")
async def retain_0_stores_nothing(arena: Arena) -> list[Seen]:
    """A message with RETAIN=0 stores nothing, and takes nothing away."""
    topic = f"{arena.name()}/x"
    await arena.publish(topic, b"passing", 2)
    nothing = await arena.client(arena.name(), (topic, 2))
    seen = [saw("messages for a later subscriber", [m.payload for m in await nothing.messages()], [])]
    await arena.publish(topic, b"kept", 1, retain=True)
    await arena.publish(topic, b"passing", 1)
    late = await arena.client(arena.name(), (topic, 2))
    return [*seen, saw("the retained message afterwards", [m.payload for m in await late.messages(1, answer=acknowledge)], [b"kept"])]


@trial("MQTT-3.3.1-6", "MQTT-3.3.1-8", "MQTT-3.3.1-5")
async def retained_message_reaches_new_subscribers_with_retain_1(arena: Arena) -> list[Seen]:
    """The last retained message of a topic goes to new subscriptions with RETAIN=1."""
    name = arena.name()
    for payload in (b"old", b"new"):
        await arena.publish(f"{name}/x", payload, 1, retain=True)
    exact = await arena.client(arena.name(), (f"{name}/x", 1))
    wild = await arena.client(arena.name(), (f"{name}/+", 0))
    return [
        saw(f"stored messages for {words}", [(m.payload, m.retain) for m in await probe.messages(1)], [(b"new", True)])
        for words, probe in (("an exact filter", exact), ("a filter with a wildcard", wild))
    ]


@trial("MQTT-3.3.1-9")
async def established_subscriptions_get_retain_0(arena: Arena) -> list[Seen]:
    """An established subscription gets RETAIN=0 however the message was published."""
    topic = f"{arena.name()}/x"
    device = await arena.client(arena.name(), (topic, 1))
    await arena.publish(topic, b"x", 1, retain=True)
    return [saw("RETAIN of the live delivery", [m.retain for m in await device.messages(1)], [False])]


@trial("MQTT-3.3.1-10", "MQTT-3.3.1-11")
async def empty_retained_message_removes(arena: Arena) -> list[Seen]:
    """An empty retained message removes the stored one and is not stored itself."""
    topic = f"{arena.name()}/x"
    await arena.publish(topic, b"x", 1, retain=True)
    await arena.publish(topic, b"", 1, retain=True)
    late = await arena.client(arena.name(), (topic, 1))
    return [saw("stored messages afterwards", [m.payload for m in await late.messages()], [])]


@trial("MQTT-3.8.4-3")
async def subscribing_again_sends_retained_messages_again(arena: Arena) -> list[Seen]:
    """Subscribing again to the same filter sends its retained messages again."""
    topic = f"{arena.name()}/x"
    await arena.publish(topic, b"x", 1, retain=True)
    device = await arena.client(arena.name(), (topic, 0))
    await device.subscribe((topic, 0), packet_id=2)
    return [saw("stored messages in all", [m.payload for m in await device.messages(2)], [b"x", b"x"])]


RETAINED: tuple[Trial, ...] = (
    retain_0_stores_nothing,
    retained_message_reaches_new_subscribers_with_retain_1,
    established_subscriptions_get_retain_0,
    empty_retained_message_removes,
    subscribing_again_sends_retained_messages_again,
)
