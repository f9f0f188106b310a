"""Fault plans at the embedded broker: what reaches the wire, and what the broker makes of it."""

import asyncio

import pytest

from harness.faults import Corrupt, Cut, Delay, Duplicate, FaultPlan, Hold, PacketEvent, PacketFault, Rewrite, Split
from harness.mqtt.packets import Connack, Connect, Pingreq, Pingresp, Publish, Suback, Subscribe, Will
from simulators.broker.port import ClosedBy
from simulators.broker.probe import Probe


def plan(action, **event) -> FaultPlan:
    return FaultPlan(packets=(PacketFault(name="fault", at=PacketEvent(**event), action=action),))


@pytest.mark.requirement("BRK-03")
def test_a_cut_after_publish_leads_to_redelivery_on_the_next_connection(embedded, device, notes):
    async def run():
        async with embedded(observer=notes) as broker:
            probe = await device(broker, clean_session=False)
            broker.set_faults(plan(Cut(when="after"), packet="PUBLISH", sent_by="server"))
            await broker.publish("dev-1/control/reboot", b"{}")
            assert (await probe.receive()).packet_id == 1
            assert await probe.is_closed()
            probe = await Probe.open(broker.mqtt_url)
            assert await probe.connect(Connect("dev-1", False)) == Connack(True, 0)
            assert await probe.receive() == Publish("dev-1/control/reboot", b"{}", 2, dup=True, packet_id=1)

    asyncio.run(run())
    assert notes.faults == [("dev-1", "fault")]
    assert notes.closings[0][1] is ClosedBy.FAULT


def test_a_cut_before_an_incoming_packet_hides_it_from_the_broker(embedded, device):
    async def run():
        async with embedded() as broker:
            watcher = await Probe.open(broker.mqtt_url)
            await watcher.connect(Connect("watcher"))
            await watcher.subscribe(("#", 0))
            probe = await device(broker, will=Will("dev-1/gone", b"", 0))
            broker.set_faults(plan(Cut(when="before"), packet="PUBLISH", sent_by="client"))
            probe.send(Publish("dev-1/x", b"never"))
            assert await probe.is_closed()
            assert [message.topic for message in await watcher.messages()] == ["dev-1/gone"]

    asyncio.run(run())


def test_bytes_spoilt_on_their_way_in_are_malformed_for_the_broker(embedded, device, notes):
    async def run():
        async with embedded(observer=notes) as broker:
            probe = await device(broker)
            broker.set_faults(plan(Corrupt(at=0, xor=0x0F), packet="PINGREQ"))
            probe.send(Pingreq())
            assert await probe.is_closed()

    asyncio.run(run())
    assert notes.malformations == ["MQTT-2.2.2-2"]


def test_split_and_duplicate_reach_the_wire(embedded, device):
    async def run():
        async with embedded() as broker:
            probe = await device(broker)
            broker.set_faults(
                FaultPlan(
                    packets=(
                        PacketFault(name="twice", at=PacketEvent(packet="PUBLISH"), action=Duplicate(dup=True)),
                        PacketFault(name="split", at=PacketEvent(packet="PUBLISH"), action=Split()),
                    )
                )
            )
            await broker.publish("dev-1/control/reboot", b"{}")
            first, second = await probe.receive(), await probe.receive()
            assert (first.packet_id, first.dup) == (1, False)
            assert (second.packet_id, second.dup) == (1, True)

    asyncio.run(run())


def test_a_held_packet_waits_for_the_event_and_keeps_the_order(embedded, device):
    async def run():
        async with embedded() as broker:
            probe = await device(broker)
            broker.set_faults(plan(Hold(until=PacketEvent(packet="PINGREQ")), packet="PUBLISH", sent_by="server"))
            await broker.publish("dev-1/control/reboot", b"{}")
            assert await probe.heard(for_s=0.1) == []
            probe.send(Pingreq())
            assert [type(packet) for packet in (await probe.receive(), await probe.receive())] == [Publish, Pingresp]

    asyncio.run(run())


def test_the_end_of_a_plan_lets_go_what_it_held(embedded, device):
    async def run():
        async with embedded() as broker:
            probe = await device(broker)
            broker.set_faults(plan(Delay(seconds=3_600), packet="PUBLISH"))
            await broker.publish("dev-1/control/reboot", b"{}")
            assert await probe.heard(for_s=0.05) == []
            broker.set_faults(None)
            assert isinstance(await probe.receive(), Publish)

    asyncio.run(run())


def test_a_refused_suback_and_a_session_that_is_not_present_can_be_scripted(embedded):
    async def run():
        async with embedded() as broker:
            broker.set_faults(plan(Rewrite(return_codes=(0x80,)), packet="SUBACK", client_id="dev-*"))
            probe = await Probe.open(broker.mqtt_url)
            await probe.connect(Connect("dev-1", False))
            probe.send(Subscribe(1, (("a", 2),)))
            assert await probe.receive() == Suback(1, (0x80,))
            broker.set_faults(plan(Rewrite(session_present=False), packet="CONNACK"))
            again = await Probe.open(broker.mqtt_url)
            assert await again.connect(Connect("dev-1", False)) == Connack(False, 0)

    asyncio.run(run())
