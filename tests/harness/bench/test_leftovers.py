"""What a run has changed at the target and not changed back."""

import pytest

from harness.bench.leftovers import HOOK_ANNOUNCED, Leftovers, leftovers_of
from harness.history.events import Event, HookRun, MqttPacket, Stimulus

FILE = {"project_id": "p", "type": "firmware", "name": "a.bin", "path": "/tmp/a.bin"}


def nothing_left() -> Leftovers:
    return Leftovers({"d": "reboot"})


def events(*facts):
    return [Event(number, 0.0, 0.0, "", fact) for number, fact in enumerate(facts, 1)]


def connect(device_id: str, *, clean: bool) -> MqttPacket:
    return MqttPacket(1, device_id, "client", "CONNECT", 20, clean_session=clean)


def hook(name: str, values: dict[str, str]) -> Stimulus:
    return Stimulus(HOOK_ANNOUNCED, {"name": name, "values": values})


def run(left: Leftovers, name: str, values: dict[str, str], *, succeeded: bool = True) -> Leftovers:
    left.hook_begins(name, values)
    left.hook_ended(name, values, succeeded=succeeded)
    return left


def test_an_uploaded_file_is_left_until_it_is_deleted():
    left = run(nothing_left(), "upload_file", FILE)

    assert left.hooks() == [("delete_file", FILE)]
    assert run(left, "delete_file", {**FILE, "path": ""}).hooks() == []


def test_a_file_that_could_not_be_deleted_is_still_left():
    left = run(nothing_left(), "upload_file", FILE)

    assert run(left, "delete_file", FILE, succeeded=False).hooks() == [("delete_file", FILE)]


def test_a_refused_upload_leaves_nothing():
    assert run(nothing_left(), "upload_file", FILE, succeeded=False).hooks() == []


def test_a_changed_list_is_left_until_it_is_what_the_target_file_says():
    left = run(nothing_left(), "set_allowed_commands", {"device_id": "d", "value": "reset"})

    assert left.hooks() == [("set_allowed_commands", {"device_id": "d", "value": "reboot"})]
    assert run(left, "set_allowed_commands", {"device_id": "d", "value": "reboot"}, succeeded=False).hooks() != []
    assert run(left, "set_allowed_commands", {"device_id": "d", "value": "reboot"}).hooks() == []


def test_a_session_is_left_until_a_clean_one_takes_its_place():
    left = nothing_left()

    left.session_begins("d", clean=False)
    assert left.sessions() == ["d"]
    left.session_begins("d", clean=True)
    assert left.sessions() == []


def test_a_journal_that_ends_in_the_middle_tells_what_to_undo():
    journal = events(hook("upload_file", FILE), connect("d", clean=False), connect("e", clean=False), connect("e", clean=True))

    left = leftovers_of(journal, {"devices": [{"id": "d"}, {"id": "e"}]})

    assert left.hooks() == [("delete_file", FILE)]
    assert left.sessions() == ["d"]


@pytest.mark.parametrize(("status", "hooks"), [(0, []), (1, [("delete_file", FILE)])])
def test_a_journal_tells_whether_a_file_was_deleted(status, hooks):
    journal = events(
        hook("upload_file", FILE), HookRun("upload_file", "…", 0, ""), hook("delete_file", FILE), HookRun("delete_file", "…", status, "")
    )

    assert leftovers_of(journal, {}).hooks() == hooks


def test_packets_that_the_server_sent_leave_nothing():
    assert leftovers_of(events(MqttPacket(1, "d", "server", "CONNACK", 4, session_present=True)), {}).sessions() == []


def test_a_broker_that_was_stopped_is_started_before_anything_else_is_undone():
    left = nothing_left()
    run(left, "upload_file", FILE)
    run(left, "stop_broker", {})

    assert left.hooks() == [("start_broker", {}), ("delete_file", FILE)]
    assert run(left, "start_broker", {}, succeeded=False).hooks()[0] == ("start_broker", {})
    assert run(left, "start_broker", {}).hooks() == [("delete_file", FILE)]
