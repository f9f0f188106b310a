"""Each rule, with a record that keeps the promise and one that breaks it."""

import pytest

from simulators.world.invariants import judge, rule_names
from simulators.world.record import DeviceState, DownloadResult, Executed, KeyUse, Record, SentCommand, Struck

CONFIGURATION, DOWNLOAD, REBOOT = "configuration", "download_firmware", "reboot"
LIFE_UTC_S = 5_000.0


def sent(number, at_s, *, command=CONFIGURATION, status=200, device="dev-1"):
    return SentCommand(number, device, command, at_s, status, at_s + 0.1 if status else None)


def executed(number, at_s, *, command=CONFIGURATION, device="dev-1"):
    return Executed(at_s, device, command, number)


def offered(key, at_s):
    return Executed(at_s, "dev-1", DOWNLOAD, 0, key, LIFE_UTC_S)


def used(key, at_s, *, status=200, host="dev-1", device="dev-1", utc_s=4_000.0):
    return KeyUse(key, host, device, at_s, utc_s, status)


def state(*, configured=0, image="", area=""):
    return DeviceState(100.0, "dev-1", True, 0, 0, configured, image, area)


def result(key, at_s, *, is_success=True, message="installed"):
    return DownloadResult(at_s, "dev-1", key, is_success, message)


def record(**members):
    return Record(quiet_after_s=1.0, **members)


def download(**members):
    """A record with one offer and its result, changed by `members`."""
    whole = {
        "sent": [sent(1, 1.0, command=DOWNLOAD)],
        "executed": [offered("k", 2.0)],
        "uses": [used("k", 2.1)],
        "results": [result("k", 9.0)],
    }
    return record(**{**whole, **members})


KEPT = {
    "nothing happened": record(),
    "a command and its effect": record(sent=[sent(1, 1.0)], executed=[executed(1, 2.0)], ends=[state(configured=1)]),
    "a command without an answer has its effect": record(sent=[sent(1, 1.0, status=None)], executed=[executed(1, 2.0)]),
    "a command without an answer has none": record(sent=[sent(1, 1.0, status=None)]),
    "two commands that were sent at once come in either order": record(
        sent=[sent(1, 1.0), sent(2, 1.05)], executed=[executed(2, 2.0), executed(1, 2.1)]
    ),
    "a download": download(),
    "a second use is refused": download(uses=[used("k", 2.1), used("k", 2.2, status=401)]),
    "a foreign device is refused": download(uses=[used("k", 2.0, status=403, host="dev-2", device="dev-2"), used("k", 2.1)]),
    "a key is used in the second that its announcement cuts off": download(uses=[used("k", 2.1, utc_s=LIFE_UTC_S + 0.9)]),
    "a key that a step of the clock had ended stays dead": download(
        uses=[used("k", 2.1, status=401)], steps_utc_s=[(1.0, 4_000.0), (1.0, 6_000.0), (2.0, 6_001.0), (2.0, 4_000.0)]
    ),
    "a dead key is refused": download(uses=[used("k", 2.1, status=401, utc_s=LIFE_UTC_S + 1)]),
    "a download that a fault broke": download(
        faults=[Struck(3.0, "reset", "dev-1", 33.0)], results=[result("k", 9.0, is_success=False, message="cut")]
    ),
    "a download that a reboot broke": record(
        sent=[sent(1, 1.0, command=DOWNLOAD), sent(2, 3.0, command=REBOOT)],
        executed=[offered("k", 2.0), executed(2, 4.0, command=REBOOT)],
        uses=[used("k", 2.1)],
        results=[result("k", 9.0, is_success=False, message="interrupted")],
    ),
    "an installed image": record(images={"abc"}, ends=[state(image="abc", area="abc")]),
}

BROKEN = {
    "no_command_has_two_effects": record(sent=[sent(1, 1.0), sent(2, 9.0)], executed=[executed(1, 2.0), executed(1, 3.0)]),
    "every_effect_has_its_command": record(executed=[executed(1, 2.0)]),
    "every_accepted_command_has_its_effect": record(sent=[sent(1, 1.0)]),
    "numbered_commands_keep_their_order": record(sent=[sent(1, 1.0), sent(2, 5.0)], executed=[executed(2, 6.0), executed(1, 7.0)]),
    "a_key_serves_once": download(uses=[used("k", 2.1), used("k", 2.2)]),
    "a_dead_key_is_refused": download(uses=[used("k", 2.1, utc_s=LIFE_UTC_S + 1.1)]),
    "a_key_serves_its_own_device_only": download(uses=[used("k", 2.1, host="dev-2", device="dev-2")]),
    "an_unused_key_works": download(uses=[used("k", 2.0, status=403, host="dev-2", device="dev-2"), used("k", 2.1, status=401)]),
    "what_is_installed_is_what_was_offered": record(images={"abc"}, states=[state(image="abc", area="half")]),
    "the_last_configuration_is_in_force": record(
        sent=[sent(1, 1.0), sent(2, 5.0)], executed=[executed(1, 2.0), executed(2, 6.0)], ends=[state(configured=1)]
    ),
    "every_download_has_one_result": download(results=[]),
    "an_undisturbed_download_completes": download(
        faults=[Struck(3.0, "clock step", "server", 3.0)], results=[result("k", 9.0, is_success=False, message="cut")]
    ),
    "nothing_fails_unseen": record(unhandled=["at 1.000 s: task: ValueError()"]),
    "everything_owed_is_done_in_the_end": Record(quiet_after_s=None, pending=["dev-1 is not connected"]),
}


@pytest.mark.parametrize("name", KEPT)
def test_a_run_without_fault_of_ours_has_no_finding(name):
    assert judge(KEPT[name]) == []


@pytest.mark.parametrize("rule", BROKEN)
def test_a_broken_promise_is_found_by_its_rule(rule):
    findings = judge(BROKEN[rule])
    assert rule in {finding.rule for finding in findings}
    assert all(finding.detail and finding.requirement for finding in findings)


def test_every_rule_has_been_seen_to_fail():
    assert set(BROKEN) == set(rule_names())


def test_an_image_that_nobody_offered_is_found():
    findings = judge(record(images={"abc"}, ends=[state(image="other", area="other")]))
    assert [finding.rule for finding in findings] == ["what_is_installed_is_what_was_offered"]


def test_an_answer_500_and_a_world_that_stopped_are_found():
    details = [finding.detail for finding in judge(record(server_errors=[(1.0, "command", 500)], stopped="livelock"))]
    assert details == ["at 1.000 s the endpoint command answered 500", "livelock"]


def test_the_history_is_in_the_order_of_time():
    lines = download(faults=[Struck(1.5, "reset", "dev-1", 31.5)]).lines()
    assert [line["what"] for line in lines] == ["sent", "fault", "executed", "key use", "download result"]
