"""The platform as a whole, over REST, MQTT and HTTP, against a model of a few lines: Hypothesis chooses what happens next, in virtual time.

Keys are offered to devices that ignore them, so that they can be used, misused and left to die by the rules.
"""

from contextlib import ExitStack
from dataclasses import dataclass, replace

import aiohttp
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, multiple, rule
from yarl import URL

from harness.wire.files import FileType
from simulators.device.firmware import StartDownload, failure
from simulators.device.personality import REFERENCE
from simulators.world.record import Record
from simulators.world.system import IMAGE_NAME, SERVER, SimulatedSystem, SystemKind, provisioned_state
from simulators.world.workload import OPERATOR
from simulators.world.world import World

DEVICES = 2
LIFE_S = 30 * 60
SETTLING_S = 3.0


def ignore_downloads(notes, settings, flash, cause, effects):
    return tuple(failure(effect.command, "not now") if isinstance(effect, StartDownload) else effect for effect in effects)


IGNORANT = SystemKind(personality=replace(REFERENCE, name="ignores-downloads", executes=ignore_downloads))


@dataclass
class Offer:
    """What the model knows of an offered key."""

    url: str
    owner: int
    ends_utc_s: float
    is_used: bool = False


class PlatformMachine(RuleBasedStateMachine):
    """Rules are what a user, a device or time may do; each compares the platform's answer with the model's."""

    offers = Bundle("offers")

    def __init__(self):
        super().__init__()
        provisioned_state(DEVICES)
        self.closing = ExitStack()
        self.world = self.closing.enter_context(World("platform machine"))
        self.system = SimulatedSystem(self.world, IGNORANT, Record(), devices=DEVICES, image_bytes=5_000)
        self.run(self.system.start(), SERVER)
        self.run(self.listen())
        self.seen = []
        for station in self.system.stations:
            station.on_offer = lambda station, url, ends_utc_s: self.seen.append((station, url, ends_utc_s))
        self.file_is_there = True

    def run(self, coroutine, host=OPERATOR):
        return self.world.run(host, coroutine, within_s=3 * 3600)

    async def listen(self):
        for station in self.system.stations:
            await station.program.until_listening()

    async def pause(self, duration_s):
        done = self.world.loop.create_future()
        self.world.loop.call_later(duration_s, done.set_result, None)
        await done

    async def send(self, number):
        platform, device = self.system.platform, self.system.stations[number].device
        url = f"{platform.api_url}/v2/projects/{device.project_id}/devices/{device.id}/communication/command"
        headers = {"Authorization": f"Bearer {platform.secrets.api_key('full')}"}
        body = {"command": "download_firmware", "data": {"file_name": IMAGE_NAME}}
        async with aiohttp.ClientSession() as session, session.post(url, json=body, headers=headers) as response:
            status = response.status
        await self.pause(SETTLING_S)
        return status

    async def get(self, url, token, method="GET"):
        headers = {"Authorization": f"Basic {token}"}
        async with aiohttp.ClientSession() as session, session.request(method, URL(url, encoded=True), headers=headers) as response:
            return response.status, len(await response.read())

    @initialize(target=offers, owner=st.integers(0, DEVICES - 1))
    def begin_with_an_offer(self, owner):
        return self.offer(owner)

    @rule(target=offers, owner=st.integers(0, DEVICES - 1))
    def send_download_command(self, owner):
        return self.offer(owner)

    def offer(self, owner):
        self.seen.clear()
        assert self.run(self.send(owner)) == (200 if self.file_is_there else 404)
        if not self.file_is_there:
            assert self.seen == []
            return multiple()
        [(station, url, ends_utc_s)] = self.seen
        assert station is self.system.stations[owner]
        return Offer(url, owner, ends_utc_s)

    @rule(offer=offers, by=st.integers(0, DEVICES - 1))
    def use_key(self, offer, by):
        status, size_bytes = self.run(self.get(offer.url, self.system.stations[by].token))
        expected = self.expected_status(offer, by)
        assert status == expected
        if expected == 200:
            assert size_bytes == 5_000
            offer.is_used = True

    def expected_status(self, offer, by):
        if offer.is_used or self.run(self.utc_s()) >= offer.ends_utc_s:
            return 401
        if by != offer.owner:
            return 403
        return 200 if self.file_is_there else 404

    async def utc_s(self):
        return self.world.clock.utc_s()

    @rule(offer=offers)
    def use_key_without_a_good_token(self, offer):
        assert self.run(self.get(offer.url, "nobody"))[0] == 401

    @rule(offer=offers)
    def ask_for_the_head_only(self, offer):
        before = self.expected_status(offer, offer.owner)
        assert self.run(self.get(offer.url, self.system.stations[offer.owner].token, "HEAD"))[0] == before

    @rule(duration_s=st.sampled_from([1.0, 60.0, 600.0, LIFE_S - 10.0, float(LIFE_S)]))
    def let_time_pass(self, duration_s):
        self.run(self.pause(duration_s))

    @rule()
    def restart_the_platform(self):
        self.run(self.system.restart_platform(), SERVER)
        self.run(self.pause(60.0))

    @rule()
    def delete_the_file(self):
        self.system.platform.delete_file(self.project_id, FileType.FIRMWARE, IMAGE_NAME)
        self.file_is_there = False

    @rule()
    def upload_the_file(self):
        self.system.platform.upload(self.project_id, FileType.FIRMWARE, IMAGE_NAME, bytes(5_000))
        self.file_is_there = True

    @property
    def project_id(self):
        return self.system.stations[0].device.project_id

    def teardown(self):
        self.run(self.system.stop(), SERVER)
        assert self.world.unhandled == []
        self.closing.close()


PlatformMachine.TestCase.settings = settings(max_examples=25, stateful_step_count=15, deadline=None)
test_platform_keeps_to_its_model = PlatformMachine.TestCase
