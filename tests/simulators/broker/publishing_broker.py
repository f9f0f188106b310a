"""A broker with a state directory in a process of its own, for tests that kill it.

`python publishing_broker.py DIRECTORY PORT` prints the URL, then publishes what it reads: a line `NUMBER TOPIC` becomes a message with
the number as its payload, and is answered by `NUMBER` when `publish` has returned.
"""

import asyncio
import sys
from pathlib import Path

from simulators.broker.embedded import EmbeddedBroker
from simulators.broker.port import AnyoneMayDoAnything, BrokerLimits, BrokerSettings


async def serve(directory: Path, port: int) -> None:
    limits = BrokerLimits(queued_messages_max=10_000)
    broker = EmbeddedBroker(BrokerSettings(port=port, state_directory=directory, limits=limits), AnyoneMayDoAnything())
    await broker.start()
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    sys.stdout.write(broker.mqtt_url + "\n")
    sys.stdout.flush()

    async def publish(number: bytes, topic: str) -> None:
        await broker.publish(topic, number)
        sys.stdout.write(number.decode() + "\n")
        sys.stdout.flush()

    tasks = set()
    while line := await reader.readline():
        number, topic = line.split()
        task = asyncio.create_task(publish(number, topic.decode()))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    await broker.stop()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), int(sys.argv[2])))
