"""What survives a power cut: the same in memory and in a directory, and images that are verified before they boot."""

import hashlib
import json

import pytest

from harness.mqtt.client_session import ClientMemory
from harness.mqtt.packets import Publish
from harness.wire.files import FileType
from simulators.device.flash import (
    DirectoryStorage,
    DownloadJob,
    Flash,
    Image,
    MemoryStorage,
    Shelf,
    area_name,
    flash_from_json,
    flash_to_json,
)
from simulators.device.machine import boot
from simulators.device.personality import REFERENCE
from simulators.device.settings import DeviceSettings

SETTINGS = DeviceSettings.reference(device_id="dev-1", token="token", mqtt_url="mqtt://127.0.0.1")
OLD, NEW = b"old image", b"new image"

FULL = Flash(
    configuration={"a": [1, None, "ü"]},
    firmware=Shelf(1, (None, Image("fw.bin", 7, "00"))),
    jobs=(DownloadJob(3, "download_logo", FileType.LOGO, "http://h/x", is_started=True),),
    next_job=4,
    is_reboot_due=True,
    boots=2,
    is_subscribed=True,
    session=ClientMemory((Publish("t", b"\xff\x00", 2, dup=True, packet_id=5),), (7, 6), frozenset({9})),
)


@pytest.fixture(params=["memory", "directory"])
def storage(request, tmp_path):
    return MemoryStorage() if request.param == "memory" else DirectoryStorage(tmp_path / "state")


def image(content):
    return Image("fw.bin", len(content), hashlib.sha256(content).hexdigest())


def test_a_device_that_never_ran_has_no_flash(storage):
    assert storage.load() is None


def test_flash_is_found_as_it_was_saved(storage):
    storage.save(Flash())
    storage.save(FULL)
    assert storage.load() == FULL


def test_flash_survives_being_written_down():
    assert flash_from_json(json.loads(json.dumps(flash_to_json(FULL)))) == FULL


def test_an_area_holds_what_was_appended_since_it_was_erased(storage):
    assert storage.sha256("firmware-0") == hashlib.sha256().hexdigest()
    for part in (b"x", b"y"):
        storage.append("firmware-0", part)
    storage.erase("firmware-0")
    storage.append("firmware-0", OLD)
    assert storage.sha256("firmware-0") == image(OLD).sha256


def test_a_directory_keeps_its_flash_for_the_next_process(tmp_path):
    DirectoryStorage(tmp_path / "state").save(FULL)
    assert DirectoryStorage(tmp_path / "state").load() == FULL


def installed(storage, *contents):
    """A storage with these images installed one after the other."""
    shelf = Shelf()
    for content in contents:
        area = area_name(FileType.FIRMWARE, shelf.spare)
        storage.erase(area)
        storage.append(area, content)
        shelf = shelf.installed(image(content))
    storage.save(Flash(firmware=shelf))
    return storage


def booted(storage):
    return boot(storage.load(), SETTINGS, REFERENCE, storage.sha256).firmware.current


def test_the_last_image_boots(storage):
    assert booted(installed(storage, OLD, NEW)) == image(NEW)


def test_an_image_that_is_not_what_its_record_says_does_not_boot(storage):
    storage = installed(storage, OLD, NEW)
    storage.append("firmware-0", b"one byte more")
    assert booted(storage) == image(OLD)


def test_with_no_good_image_the_factory_one_boots(storage):
    storage = installed(storage, OLD, NEW)
    for area in ("firmware-0", "firmware-1"):
        storage.erase(area)
    assert booted(storage) is None


def test_an_erased_spare_area_leaves_the_image_in_use(storage):
    storage = installed(storage, OLD, NEW)
    storage.save(Flash(firmware=storage.load().firmware.erased()))
    storage.erase("firmware-1")
    assert booted(storage) == image(NEW)
