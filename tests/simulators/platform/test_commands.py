"""Admission of commands: the order of refusals, what a body may be, and that the data reaches the device as the same JSON value."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.wire.commands import DeviceKind
from harness.wire.files import FileType
from simulators.platform.access import SEND_COMMANDS, AccessRules, Caller, Device, Organisation
from simulators.platform.commands import Admitted, CommandAttempt, CommandBody, CommandRules, admit, parse_body, wanted_file
from simulators.platform.files import StoredFile
from simulators.platform.refusals import Refusal

ORGANISATION = Organisation("o", "o", True)
CALLER = Caller("full", ORGANISATION, frozenset({SEND_COMMANDS}))
FILE = StoredFile(1, "p", FileType.FIRMWARE, "a.bin", "", 0.0, 5, "00")


def device(**changes):
    values = dict(id="d", project_id="p", organisation_id="o", name="d", kind=DeviceKind.MQTT, allowed_commands="")
    return Device(**{**values, **changes})


def outcome(body=b'{"command": "reboot"}', **changes):
    values = dict(
        caller=CALLER, project_id="p", device=device(), body=parse_body(body),
        file=FILE if wanted_file(parse_body(body)) == (FileType.FIRMWARE, "a.bin") else None,
        rules=CommandRules(), access=AccessRules(),
    )  # fmt: skip
    return admit(CommandAttempt(**{**values, **changes}))


def status(*arguments, **changes):
    made = outcome(*arguments, **changes)
    return made.status if isinstance(made, Refusal) else 200


def body(command, data=None):
    return json.dumps({"command": command, "data": data or {}}).encode()


NO_FEATURE = Caller("full", Organisation("o", "o", False), frozenset({SEND_COMMANDS}))
NO_SCOPE = Caller("read_only", ORGANISATION, frozenset())
RESTRICTED = device(allowed_commands="configuration; download_firmware")


@pytest.mark.requirement("CMD-25")
@pytest.mark.parametrize(
    ("changes", "sent", "expected"),
    [
        ({"caller": None}, b"", 401),
        ({"caller": NO_FEATURE}, b"", 403),
        ({"caller": Caller("x", Organisation("o", "o", False), frozenset())}, b"", 403),
        ({"caller": NO_SCOPE}, b"", 403),
        ({"device": None}, b"", 400),
        ({"device": None}, body("reboot"), 404),
        ({"device": device(project_id="q")}, body("reboot"), 404),
        ({"device": device(organisation_id="x")}, body("reboot"), 404),
        ({"device": device(kind=DeviceKind.HTTP, allowed_commands="reset")}, body("reboot"), 404),
        ({"device": RESTRICTED}, body("send_configuration", {"keys": 1}), 403),
        ({"device": RESTRICTED}, body("download_firmware", {"file_name": "a.png"}), 400),
        ({"device": RESTRICTED}, body("download_firmware", {"file_name": "b.bin"}), 404),
        ({"device": RESTRICTED}, body("download_firmware", {"file_name": "a.bin"}), 200),
    ],
)
def test_the_first_reason_in_order_is_given(changes, sent, expected):
    assert status(sent, **changes) == expected


@pytest.mark.requirement("CMD-19")
@pytest.mark.parametrize("kind", [kind for kind in DeviceKind if kind is not DeviceKind.HTTP])
def test_every_kind_but_http_takes_commands(kind):
    assert status(device=device(kind=kind)) == 200


@pytest.mark.requirement("CMD-10")
@pytest.mark.parametrize(
    "sent",
    [
        b"", b" ", b"{", b"[]", b"null", b'"reboot"', b"{}", b'{"command": ""}', b'{"command": 1}', b'{"command": null}',
        b'{"command": "reboot", "data": null}', b'{"command": "reboot", "data": []}', b'{"command": "reboot", "data": "x"}',
        b'{"command": "a/b"}', b'{"command": "+"}', b'{"command": "#"}', b'{"command": "a\\u0000"}', b'{"command": "$SYS"}',
        b'{"command": "\\ud800"}', b'{"command": "x", "data": {"a": NaN}}', b'{"command": "x", "data": {"a": ' + b"9" * 5_000 + b"}}",
        b"[" * 100_000, b'{"command": "x", "data": ' + b'{"a":' * 50_000, b"\xff\xfe", '{"command": "reboot"}'.encode("utf-16"),
        b'\xef\xbb\xbf{"command": "reboot"}', b'{"command": "' + b"a" * 65 + b'"}',
    ],
)  # fmt: skip
def test_a_body_that_is_no_command_is_refused_with_400(sent):
    assert status(sent) == 400


@pytest.mark.parametrize(
    ("command", "data"),
    [
        ("send_configuration", {"keys": "a"}), ("send_configuration", {"keys": [1]}), ("send_configuration", {"keys": None}),
        ("download_firmware", {}), ("download_firmware", {"file_name": 1}), ("download_firmware", {"file_name": ""}),
        ("download_firmware", {"file_name": "logo.png"}), ("download_logo", {"file_name": "a.bin"}),
        ("download_firmware", {"file_name": "a.bin/"}), ("download_firmware", {"file_name": "bin"}),
    ],
)  # fmt: skip
def test_data_that_does_not_fit_its_command_is_refused_with_400(command, data):
    assert status(body(command, data)) == 400


@pytest.mark.requirement("CMD-29")
@pytest.mark.parametrize(
    "sent", [b'{"command": "reboot"}', body("reset", {"a": 1}), body("configuration"), body("send_configuration", {"keys": []})]
)
def test_absent_and_unusual_data_is_accepted(sent):
    assert status(sent) == 200


def test_an_admitted_command_goes_to_its_own_topic_at_qos_2_unretained():
    made = outcome(body("blink", {"n": 3}))
    assert isinstance(made, Admitted)
    assert (made.topic, made.qos, made.retain, made.payload) == ("d/control/blink", 2, False, b'{"n":3}')


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@pytest.mark.requirement("CMD-05")
@given(st.dictionaries(st.text(), json_values, max_size=5), st.booleans())
def test_data_arrives_as_the_same_json_value(data, is_ascii):
    parsed = parse_body(json.dumps({"command": "configuration", "data": data}, ensure_ascii=is_ascii).encode("utf-8", "surrogatepass"))
    if isinstance(parsed, CommandBody):
        assert json.loads(parsed.data_text) == data
    else:
        assert not is_ascii  # a raw lone surrogate is no UTF-8


def body_of_number(number):
    parsed = parse_body(b'{"data": {"old": 1}, "command": "x" , "data" : {"a": [' + number.encode() + b"]}}")
    assert isinstance(parsed, CommandBody)
    return parsed


@pytest.mark.requirement("CMD-05")
@pytest.mark.parametrize("number", ["0.10000000000000000000000000001", "1e400", "123456789012345678901234567890.5"])
def test_numbers_that_no_float_holds_are_passed_on_as_written(number):
    assert body_of_number(number).data_text == '{"a": [' + number + "]}"


@pytest.mark.requirement("CMD-05")
@pytest.mark.parametrize(("number", "value"), [("-0.0", "-0.0"), ("1E2", "100.0"), ("1.50", "1.5")])
def test_numbers_that_a_float_holds_are_passed_on_without_blanks(number, value):
    assert body_of_number(number).data_text == '{"a":[' + value + "]}"
