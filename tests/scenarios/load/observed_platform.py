"""A reference platform whose broker drops messages to some devices, and which counts the DISCONNECT packets it was sent.

`python observed_platform.py STATE_DIR PROVISION DROPS [ADDRESS]`: of the first DROPS devices that are sent a PUBLISH on, the first one
vanishes. Prints the path of its target file; after SIGTERM the numbers of devices and of DISCONNECTs, as JSON.
"""

import asyncio
import json
import signal
import sys
from pathlib import Path

from harness.faults import Drop, FaultPlan, PacketEvent, PacketFault
from harness.mqtt.packets import Connect, Disconnect
from simulators.broker.embedded import EmbeddedBroker
from simulators.broker.port import BrokerSettings
from simulators.platform.platform import PlatformSettings, ReferencePlatform


class Counting:
    """Counts what devices send; everything else is nothing to it."""

    def __init__(self):
        self.connected = set()
        self.disconnected = set()

    def packet(self, connection, client_id, direction, packet, size_bytes):
        if isinstance(packet, Connect):
            self.connected.add(client_id)
        elif isinstance(packet, Disconnect):
            self.disconnected.add(client_id)

    def __getattr__(self, name):
        return lambda *arguments: None


async def main(state, provision, drops, address):
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    counting = Counting()
    settings = PlatformSettings(state_directory=state, provision=provision, bind=address, with_hooks=True)
    platform = ReferencePlatform(settings, lambda directory: EmbeddedBroker(BrokerSettings(address, 0), directory, observer=counting))
    async with platform:
        devices = [json.loads(line)["id"] for line in (state / "devices.jsonl").read_text().splitlines()]
        dropped = devices[len(devices) - drops :]
        faults = tuple(
            PacketFault(name="drop", at=PacketEvent(packet="PUBLISH", sent_by="server", client_id=device_id), action=Drop())
            for device_id in dropped
        )
        platform.broker.set_faults(FaultPlan(packets=faults) if drops else None)
        print(f"target file: {platform.target_path}", flush=True)
        await stopping.wait()
    print(json.dumps({"connected": len(counting.connected), "disconnected": len(counting.disconnected)}), flush=True)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), (sys.argv[4:] or ["127.0.0.1"])[0]))
