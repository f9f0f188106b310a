"""Questions about downloads: the bytes of each stored file, and what becomes of the file."""

from collections.abc import Callable

from harness.bench.target import Platform, TargetDevice, TargetFile
from harness.operations import AdvanceClock, Announce, Receive, RunHook, Together, Wait
from harness.scenario import Cast, DeviceNeed, Needs, Workload, scenario
from harness.wire.commands import KEY_LIFETIME_S, parse_download_offer
from harness.wire.files import FileType, has_extension_of, is_plain_name
from scenarios.platform.steps import (
    DOWNLOAD_OF,
    ORGANISATION,
    Step,
    command_call,
    delete_file,
    fetch_call,
    list_call,
    offered,
    send,
    storage_place,
    store_file,
    watch,
    watch_end,
)

_EACH_TYPE = Needs(files={"firmware": FileType.FIRMWARE, "logo": FileType.LOGO})
_FILES_MAX = 12
_PROJECTS_MAX = 4
_DOWNLOADS = 3
_COUNTS_MAX = 6
_TIDIES_UP_S = 0.5
_AFTER_EXPIRY_S = 5.0


@scenario(
    "download_delivers_the_file",
    "one_token_serves_mqtt_and_http",
    "download_needs_the_raw_device_token",
    "stored_file_of_the_type_is_accepted",
    "key_works_once",
    "download_command_carries_url_and_expiry",
    needs=Needs(files={"firmware": FileType.FIRMWARE}),
    duration_s=2.0,
)
def every_stored_file(cast: Cast) -> Workload:
    """Every file of the device's project is commanded and fetched; each key is tried a second time."""
    yield from _fetch_all(cast.platform, cast.device)


@scenario(
    "download_delivers_the_file",
    needs=Needs(devices={"device": DeviceNeed(), "elsewhere": DeviceNeed(apart_from="device")}),
    duration_s=2.0,
)
def every_stored_file_of_two_projects(cast: Cast) -> Workload:
    """Every file of two projects is commanded and fetched by a device of its project."""
    for device in cast.devices.values():
        yield from _fetch_all(cast.platform, device)


@scenario("unusual_file_name_makes_a_good_header", needs=Needs(unusual_file_name=True), duration_s=2.0)
def stored_files_with_unusual_names(cast: Cast) -> Workload:
    """The project's files whose names no header can hold as they are."""
    yield from _fetch_all(cast.platform, cast.device, lambda file: not is_plain_name(file.name))


def _fetch_all(platform: Platform, device: TargetDevice, wanted: Callable[[TargetFile], bool] = lambda file: True) -> Workload:
    yield from watch(device)
    for file in [file for file in platform.files if file.project_id == device.project_id and wanted(file)][:_FILES_MAX]:
        url = yield from offered(platform, device, file)
        if url is not None:
            yield fetch_call(url, device)
            yield fetch_call(url, device)


@scenario(
    "stored_file_outlives_its_download",
    "listed_name_can_be_commanded",
    "entries_are_of_the_type_and_size",
    "list_names_the_stored_files",
    "stored_file_of_the_type_is_accepted",
    needs=_EACH_TYPE,
    duration_s=2.0,
)
def listed_files(cast: Cast) -> Workload:
    """The project's files are listed, each is commanded by its listed name and fetched, and then listed and commanded again."""
    platform, device = cast.platform, cast.device
    yield from watch(device)
    for file_type in FileType:
        answer = yield list_call(platform, device.project_id, file_type)
        entries = answer.json.get("files") if isinstance(answer.json, dict) else None
        names = [entry.get("name") for entry in entries or () if isinstance(entry, dict)]
        for name in [name for name in names if isinstance(name, str) and has_extension_of(file_type, name)][:_FILES_MAX]:
            url = yield from offered(platform, device, None, name=name, command=DOWNLOAD_OF[file_type])
            if url is not None:
                yield fetch_call(url, device)
                yield from offered(platform, device, None, name=name, command=DOWNLOAD_OF[file_type])
        yield list_call(platform, device.project_id, file_type)


_HOOKED = Needs(files={"firmware": FileType.FIRMWARE}, hooks=("upload_file", "delete_file"))


_UPLOADED = {FileType.FIRMWARE: "hil-uploaded.bin", FileType.LOGO: "hil-uploaded.png"}


@scenario(
    "deleted_file_is_not_found",
    "list_follows_uploads_and_deletions",
    "list_names_the_stored_files",
    "entries_describe_the_file",
    "missing_file_is_refused",
    "refused_attempt_does_not_use_up_the_key",
    "download_errors_follow_the_contract",
    needs=_HOOKED,
    alone=True,
    duration_s=2.0,
)
def file_uploaded_and_deleted(cast: Cast) -> Workload:
    """A file of each type is uploaded, listed, commanded, deleted, and asked for; then it is neither listed nor commanded any more."""
    platform, device = cast.platform, cast.device
    stored = {file.type: file for file in platform.files if file.project_id == device.project_id}
    yield from watch(device)
    for file_type, file in stored.items():
        name, command = _UPLOADED[file_type], DOWNLOAD_OF[file_type]
        yield from store_file(device, name, file)
        yield from _all_lists(platform, file_type)
        url = yield from offered(platform, device, None, name=name, command=command)
        yield from delete_file(device, name, file_type)
        yield from _all_lists(platform, file_type)
        if url is not None:
            yield fetch_call(url, device)
        yield from send(platform, device, command, {"file_name": name})
    yield from watch_end(platform, device)


def _all_lists(platform: Platform, file_type: FileType) -> Workload:
    """The lists of the organisation and of some of its projects, of the file's type first."""
    for asked_type in sorted(FileType, key=lambda each: each is not file_type):
        for project_id in (ORGANISATION, *(project.id for project in platform.projects[:_PROJECTS_MAX])):
            yield list_call(platform, project_id, asked_type)


_TWO_FILES = Needs(files={"firmware": FileType.FIRMWARE, "other": FileType.FIRMWARE}, hooks=("upload_file", "delete_file"))


@scenario(
    "download_delivers_the_file",
    "deleted_file_is_not_found",
    "entries_are_of_the_type_and_size",
    needs=_TWO_FILES,
    alone=True,
    duration_s=2.0,
)
def file_uploaded_again(cast: Cast) -> Workload:
    """A file is uploaded and fetched, uploaded again with other bytes and fetched, and deleted while it is commanded once more."""
    platform, device = cast.platform, cast.device
    name = "hil-uploaded-again.bin"
    yield from watch(device)
    for file in (cast.files["firmware"], cast.files["other"]):
        yield from store_file(device, name, file)
        url = yield from offered(platform, device, None, name=name)
        if url is not None:
            yield fetch_call(url, device)
    yield list_call(platform, device.project_id, FileType.FIRMWARE)
    url = yield from offered(platform, device, None, name=name)
    yield from delete_file(device, name)
    if url is not None:
        yield fetch_call(url, device)


_MANY = 51  # more than the fifty entries that pages like to hold
_HOOKS_AT_ONCE = 8


@scenario(
    "list_names_the_stored_files",
    "organisation_list_names_the_files_of_all_projects",
    needs=_HOOKED,
    alone=True,
    full_only=True,
    duration_s=30.0,
)
def lists_of_many_files(cast: Cast) -> Workload:
    """More files than a page would hold are uploaded, listed, and deleted."""
    platform, device, file = cast.platform, cast.device, cast.files["firmware"]
    places = [storage_place(device, f"hil-many-{number}.bin", file.type) for number in range(_MANY)]
    yield from _run_hooks("upload_file", [{**place, "device_id": device.id, "path": str(file.path)} for place in places])
    yield Announce("many files stored", {**places[0], "names": [place["name"] for place in places]})
    for project_id in (ORGANISATION, device.project_id):
        yield list_call(platform, project_id, file.type)
    yield from _run_hooks("delete_file", [{**place, "device_id": device.id} for place in places])


def _run_hooks(name: str, values: list[dict[str, str]]) -> Workload:
    """Runs a hook for each of many values, some side by side."""
    for start in range(0, len(values), _HOOKS_AT_ONCE):
        yield Together(tuple(RunHook(name, each) for each in values[start : start + _HOOKS_AT_ONCE]))


_UNUSUAL_NAMES = (
    "hil two words.bin",
    'hil "quoted".bin',
    "hil;semi=colon.bin",
    "hil ünïcode ☀.bin",
    "hil,comma'.bin",
    "hil-upper.BIN",
    "../hil-outside.bin",
)


@scenario(
    "unusual_file_name_makes_a_good_header",
    "download_delivers_the_file",
    "stored_file_of_the_type_is_accepted",
    needs=_HOOKED,
    alone=True,
    duration_s=7.0,
)
def files_with_unusual_names(cast: Cast) -> Workload:
    """Files whose names hold blanks, quotes, separators, UTF-8, capitals and path parts; the target may refuse to store them."""
    platform, device = cast.platform, cast.device
    yield from watch(device)
    for name in _UNUSUAL_NAMES:
        if not (yield from store_file(device, name, cast.files["firmware"], may_refuse=True)):
            continue
        url = yield from offered(platform, device, None, name=name)
        if url is not None:
            yield fetch_call(url, device)
        yield from delete_file(device, name, may_refuse=True)


@scenario("temporary_copy_is_removed", needs=Needs(files={"firmware": FileType.FIRMWARE}, hooks=("temporary_copies",)), alone=True)
def copies_after_downloads(cast: Cast) -> Workload:
    """The target's temporary copies are counted before and after some downloads."""
    platform, device = cast.platform, cast.device
    yield from watch(device)
    before = int((yield RunHook("temporary_copies")))
    downloads = 0
    for _ in range(_DOWNLOADS):
        url = yield from offered(platform, device, cast.files["firmware"])
        if url is not None:
            answer = yield fetch_call(url, device)
            downloads += answer.status == 200 and answer.complete
    unfetched = _DOWNLOADS - downloads  # also those of which no offer came: each may have its copy
    after = yield from _copies_down_to(before + unfetched)
    yield Announce("temporary copies", {"before": before, "after": after, "downloads": downloads, "unfetched": unfetched})


def _copies_down_to(wanted: int) -> Step[int]:
    """Counts the temporary copies until they are so few, or no longer become so: a target may tidy up a moment later."""
    for _ in range(_COUNTS_MAX):
        count = int((yield RunHook("temporary_copies")))
        if count <= wanted:
            break
        yield Wait(_TIDIES_UP_S)
    return count


@scenario(
    "temporary_copy_is_removed",
    needs=Needs(files={"firmware": FileType.FIRMWARE}, hooks=("temporary_copies",), test_clock=True),
    alone=True,
    duration_s=2.0,
)
def copies_of_expired_keys(cast: Cast) -> Workload:
    """The target's temporary copies are counted before an offer that nobody uses, and after its key's thirty minutes."""
    platform, device = cast.platform, cast.device
    yield from watch(device)
    before = int((yield RunHook("temporary_copies")))
    url = yield from offered(platform, device, cast.files["firmware"])
    if url is not None:
        yield AdvanceClock(KEY_LIFETIME_S + _AFTER_EXPIRY_S)
        after = yield from _copies_down_to(before)
        yield Announce("temporary copies", {"before": before, "after": after, "expired": 1})


_TWO = Needs(devices={"device": DeviceNeed(), "other": DeviceNeed(beside="device")}, files={"firmware": FileType.FIRMWARE})


@scenario("download_delivers_the_file", "every_download_command_has_its_own_key", "fresh_key_is_accepted", needs=_TWO)
def several_keys_for_one_file(cast: Cast) -> Workload:
    """Two devices are offered one file, one of them twice, before anybody fetches it; each gets it."""
    platform = cast.platform
    device, other = cast.devices["device"], cast.devices["other"]
    offers = []
    for each in (device, other):
        yield from watch(each)
    for each in (device, other, device):
        url = yield from offered(platform, each, cast.files["firmware"])
        offers += [(url, each)] if url is not None else []
    for url, each in offers:
        yield fetch_call(url, each)


_OFFERS_AT_ONCE = 4  # of each type, to each of two devices


@scenario(
    "every_download_command_has_its_own_key",
    "download_delivers_the_file",
    "fresh_key_is_accepted",
    "accepted_command_reaches_its_device",
    "command_arrives_on_no_other_topic",
    needs=_TWO,
)
def offers_at_once(cast: Cast) -> Workload:
    """Two devices are offered files by many commands at the same moment, and fetch them all at the same moment."""
    platform, devices = cast.platform, tuple(cast.devices.values())
    stored = {file.type: file for file in reversed(platform.files) if file.project_id == devices[0].project_id}
    for each in devices:
        yield from watch(each)
    commands = [(DOWNLOAD_OF[file_type], {"file_name": file.name}) for file_type, file in stored.items()] * _OFFERS_AT_ONCE
    yield Together(tuple(command_call(platform, each, *command) for command in commands for each in devices))
    fetches = []
    for each in devices:
        came = yield Receive(each.id, count=len(commands))
        offers = (parse_download_offer(message.payload.encode()) for message in came)
        fetches += [fetch_call(offer.url, each) for offer in offers if offer is not None]
    yield Together(tuple(fetches))


@scenario("download_delivers_the_file", "fresh_key_is_accepted", "key_works_once", "download_errors_follow_the_contract", needs=_EACH_TYPE)
def logo_in_the_place_of_firmware(cast: Cast) -> Workload:
    """A firmware and a logo are on offer at once; each key delivers its own file."""
    platform, device = cast.platform, cast.device
    yield from watch(device)
    firmware = yield from offered(platform, device, cast.files["firmware"])
    logo = yield from offered(platform, device, cast.files["logo"])
    for url in (logo, firmware):
        if url is not None:
            yield fetch_call(url, device)
            yield fetch_call(url, device)
