"""The redacted edition names nobody and still says what happened."""

from dataclasses import replace

import pytest

from harness.history.events import BrokerChecked, BrokerPromise, PlannedCheck
from harness.history.journal import read_journal
from harness.history.timeline import History
from harness.report.capture import as_capture
from harness.report.certificate import Official
from harness.report.edition import redacted
from harness.report.html import as_html
from harness.report.package import as_json
from harness.report.writer import write_package

NAMES = ["0b6c1d5e-0000-4000-8000-000000000001", "7f0c1d5e-0000-4000-8000-000000000002", "platform.example"]


@pytest.fixture
def edition(report, history):
    return redacted(report, history)


@pytest.mark.parametrize("name", NAMES)
def test_ids_and_hosts_stand_nowhere(tmp_path, edition, name):
    write_package(tmp_path / "package", *edition, key=None, edition="redacted")
    holding = [path.name for path in (tmp_path / "package").iterdir() if name.encode() in path.read_bytes()]
    assert holding == []


def test_what_was_said_gives_way_to_its_size(edition):
    facts = [event.fact for event in edition[1].events]
    assert facts[3].body == "<30 bytes>"
    assert facts[6].payload == "<2 bytes>"
    assert facts[15].text == "<17 bytes>"


def test_target_and_declaration_are_left_out(edition):
    start = edition[1].start
    assert (start.target, start.declaration) == ({}, {})


def test_the_same_device_has_the_same_label_everywhere(edition):
    facts = [event.fact for event in edition[1].events]
    assert facts[1].devices == {"device": "<device-1>"}
    assert facts[6].topic == "<device-1>/control/reboot"
    assert facts[3].url == "http://<host-1>:8080/v2/projects/<project-1>/devices/<device-1>/communication/command"


def test_verdicts_coverage_status_and_times_stay(report, history, edition):
    after, events = edition
    assert [check.verdict for check in after.checks] == [check.verdict for check in report.checks]
    assert after.coverage.covered == report.coverage.covered
    assert [(event.line, event.at_s) for event in events.events] == [(event.line, event.at_s) for event in history.events]


def test_directories_of_the_command_are_left_out(report, history):
    lived = replace(report, run=replace(report.run, command="hil certify platform --target /srv/ada/lab/t.toml --out ../runs/x"))
    assert redacted(lived, history)[0].run.command == "hil certify platform --target t.toml --out x"


def test_what_an_official_certificate_lacks_names_nobody(report, history):
    lacking = replace(report, official=Official(1, (f"check failed at {NAMES[0]}",)), updates={"first-use": f"not updated: {NAMES[0]}"})
    edition, _ = redacted(lacking, history)
    assert (edition.official.missing, edition.updates) == (("check failed at <device-1>",), {"first-use": "not updated: <device-1>"})


def test_the_edition_is_the_same_twice(report, history):
    one, other = redacted(report, history), redacted(report, history)
    assert as_json(one[0]) == as_json(other[0])
    assert as_capture(one[1]) == as_capture(other[1])


def test_the_page_says_that_it_is_redacted(edition):
    assert "redacted edition" in as_html(*edition, edition="redacted")


def test_what_the_plan_and_the_brokers_check_say_names_nobody(report, history):
    start = replace(history.events[0].fact, plan=(PlannedCheck("key_dies", "skipped", f"{NAMES[2]} has no clock"),))
    checked = BrokerChecked("embedded", (BrokerPromise("order", "Order", ("BRK-10",), "MUST", "fail", f"{NAMES[0]} heard it late"),))
    events = (replace(history.events[0], fact=start), replace(history.events[1], fact=checked), *history.events[2:])

    _, told = redacted(report, History(events))

    assert told.start.plan[0].reason == "<host-1> has no clock"
    assert told.events[1].fact.promises[0].detail == "<device-1> heard it late"


def test_its_history_is_a_journal(tmp_path, edition):
    write_package(tmp_path / "package", *edition, key=None, edition="redacted")
    assert len(read_journal(tmp_path / "package" / "history.jsonl")) == len(edition[1].events)
