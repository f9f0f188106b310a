"""The use cases, where another process or a kill comes between two of their steps."""

import asyncio
from contextlib import contextmanager

import pytest

from harness.clock import ManualClock
from harness.entropy import SeededEntropy
from harness.wire.files import FileType
from simulators.platform import service
from simulators.platform.contents import Contents
from simulators.platform.provisioning import Secrets, inventory, provision
from simulators.platform.rules import REFERENCE
from simulators.platform.service import CommandRequest
from simulators.platform.store import Store
from simulators.platform.trail import Trail

NAME = "firmware_v2.1.0.bin"


class Killed(BaseException):
    """The process dies here."""


class MortalStore(Store):
    """A store whose process can die when it is about to commit."""

    dies_at_commit = False

    @contextmanager
    def transaction(self):
        with super().transaction():
            yield
            if self.dies_at_commit:
                raise Killed


class ListeningBroker:
    def __init__(self):
        self.topics = []

    async def publish(self, topic, payload, *, qos=2, retain=False):
        self.topics.append(topic)


class Place:
    """A service on a directory of its own, filled as a fresh platform is."""

    def __init__(self, directory):
        self.clock = clock = ManualClock()
        self.broker, self.contents = ListeningBroker(), Contents(directory)
        self.store = MortalStore(directory / "platform.db")
        self.secrets = Secrets(b"secret")
        trail = Trail(self.store, clock)
        self.service = service.Service(self.store, self.contents, self.broker, clock, SeededEntropy(1), REFERENCE, trail)
        provision(self.service.storage, self.store, self.secrets, 0, 0)
        self.project_id = inventory(0).projects[0].id

    def stored(self):
        return self.store.file(self.project_id, FileType.FIRMWARE, NAME)

    def delete(self):
        return self.service.storage.delete(self.project_id, FileType.FIRMWARE, NAME)

    def put_another(self):
        return self.service.storage.put(self.project_id, FileType.FIRMWARE, NAME, b"new")

    def command_firmware(self):
        device = next(device for device in self.store.devices(self.project_id) if device.name == "sensor-1")
        body = f'{{"command": "download_firmware", "data": {{"file_name": "{NAME}"}}}}'.encode()
        request = CommandRequest([f"Bearer {self.secrets.api_key('full')}"], self.project_id, device.id, body)
        return asyncio.run(self.service.send_command(request))


@pytest.fixture
def place(tmp_path):
    made = Place(tmp_path)
    yield made
    made.store.close()


@pytest.mark.requirement("CMD-12")
def test_a_file_that_another_process_deletes_meanwhile_is_not_found_and_nothing_is_published(place, monkeypatch):
    look_up = place.store.file

    def look_up_and_lose(*names):
        found = look_up(*names)
        monkeypatch.undo()
        place.delete()
        return found

    monkeypatch.setattr(place.store, "file", look_up_and_lose)
    assert place.command_firmware().status == 404
    assert place.broker.topics == []


@pytest.mark.requirement("DLD-06")
def test_many_keys_that_end_together_are_ended_some_at_a_time(place, monkeypatch):
    monkeypatch.setattr(service, "SWEPT_AT_A_TIME", 2)
    for _ in range(3):
        assert place.command_firmware() is None
    place.clock.advance(30 * 60)
    assert place.service.sweep() == place.clock.utc_s()
    assert list(place.contents.copies()) == [3]
    assert place.service.sweep() is None
    assert list(place.contents.copies()) == []


@pytest.mark.parametrize("change", [Place.delete, Place.put_another])
def test_a_process_that_is_killed_before_it_commits_a_change_of_a_file_has_kept_its_bytes(place, change):
    place.store.dies_at_commit = True
    with pytest.raises(Killed):
        change(place)
    assert place.contents.path(place.stored().sha256).exists()


def test_bytes_that_a_killed_process_did_not_get_to_remove_are_removed_at_the_next_start(place):
    sha256 = place.stored().sha256
    place.store.delete_file(place.project_id, FileType.FIRMWARE, NAME)
    place.service.remove_orphans()
    assert not place.contents.path(sha256).exists()


def test_bytes_that_no_file_has_any_more_are_removed(place):
    place.service.storage.put(place.project_id, FileType.FIRMWARE, "other.bin", place.contents.path(place.stored().sha256).read_bytes())
    path = place.contents.path(place.stored().sha256)
    place.delete()
    assert path.exists()  # the other file's
    place.service.storage.delete(place.project_id, FileType.FIRMWARE, "other.bin")
    assert not path.exists()
