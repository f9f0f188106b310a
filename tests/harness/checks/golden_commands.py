"""Golden stories of what a platform answers to a command."""

import json

CONFIGURATION = "configuration"


def sends(*args, **more):
    return lambda story: story.command(*args, **more)


def answers(check_id, verdict, *args, **more):
    return (check_id, verdict, sends(*args, **more))


def to(role, *args, **more):
    """A command to one of the story's devices."""
    return lambda story: story.command(*args, device=getattr(story, role), **more)


def published_though_refused(*args, payload=None, **more):
    def happens(story):
        story.command(*args, **more)
        story.comes(f"{story.dev}/control/{args[0]}", payload or {})

    return happens


def published_for_somebody_else(story):
    story.comes(f"{story.dev}/control/{CONFIGURATION}", {})
    story.command(status=400, raw="{")
    story.comes(f"{story.other}/control/{CONFIGURATION}", {}, device=story.other)


def published_for_the_body_that_was_accepted(story):
    story.command(status=400, raw="")
    story.command(status=200, raw='{"command": "configuration"} and more')
    story.comes(f"{story.dev}/control/{CONFIGURATION}", {})


def message_beside_an_accepted_command(story):
    story.command(status=400, raw="{")
    story.sent(data={"a": 1})
    story.comes(f"{story.dev}/control/{CONFIGURATION}", {"b": 2})


def published_like_an_earlier_scenario_s_command(story):
    """An accepted command of another scenario looks the same: what comes beside a refusal is no late copy of it."""
    story.scenario("well_formed_command_is_accepted", name="earlier")
    story.sent(data={})
    story.scenario(BAD, name="later")
    story.command(status=400, raw="{")
    story.comes(f"{story.dev}/control/{CONFIGURATION}", {})


def message_of_another_name_beside_an_accepted_command(story):
    story.command(status=400, raw="{")
    story.sent("reset")
    story.comes(f"{story.dev}/control/{CONFIGURATION}", {})


def copy_of_another_device_s_message(story):
    story.command(status=400, raw="{")
    story.comes(f"{story.dev}/control/{CONFIGURATION}", {"a": 1})
    story.sent(data={"a": 1}, device=story.other)


def message_like_another_device_s(data, *, after_s):
    """A refused command is published, and looks as what another device was rightly sent some time before."""

    def happens(story):
        story.sent(data=data, device=story.other)
        story.wait(after_s)
        story.command(status=400, raw="{")
        story.comes(f"{story.dev}/control/{CONFIGURATION}", data)

    return happens


def downloads(name, status, **more):
    return lambda story: story.command("download_firmware", {"file_name": name}, status, **more)


def refused_for_its_kind(command, data):
    def happens(story):
        story.command(command, data)
        story.command(command, data, 404, device=story.wifi)

    return happens


def kind_that_is_not_known(story):
    """Intemo WiFi devices are answered 404 whatever they are sent, on their list or not."""
    next(device for device in story.target["devices"] if device["id"] == story.wifi)["allowed_commands"] = "reboot"
    for command in ("reboot", "reset"):
        story.command(command, {}, 404, device=story.wifi)


def declared(requirement, value, happens):
    def declares(story):
        story.declare(requirement, value)
        happens(story)

    return declares


def lost_after_its_download(story):
    story.offer()
    story.fetch()
    story.command("download_firmware", {"file_name": "fw.bin"}, 404)


def command_of_an_uploaded_file(status=404):
    """It is commanded, deleted, and commanded once more."""

    def happens(story):
        story.says("file uploaded", project_id=story.project, type="firmware", name="new.bin")
        story.command("download_firmware", {"file_name": "new.bin"})
        story.says("file deleted", project_id=story.project, type="firmware", name="new.bin")
        story.command("download_firmware", {"file_name": "new.bin"}, status)

    return happens


def command_of_an_upload_with_blanks(status):
    def happens(story):
        story.says("file uploaded", project_id=story.project, type="firmware", name="two words.bin")
        story.command("download_firmware", {"file_name": "two words.bin"}, status)

    return happens


def list_of_allowed_commands(value, command, status):
    def happens(story):
        story.says("allowed commands set", device_id=story.dev, value=value)
        story.command(command, status=status)

    return happens


def disabled_lists(status):
    return lambda story: story.list(credential="api-key:disabled", status=status)


def without_a_broker(status):
    def happens(story):
        story.command()
        story.says("broker stopped")
        story.command(status=status)
        story.command(status=None, closed_by="peer")
        story.says("broker started")
        story.command()

    return happens


def raw(text):
    return {"raw": text}


ABSENT_DATA = json.dumps({"command": "reboot"})
BAD = "malformed_command_is_refused"
UNKNOWN = {"credential": "unknown"}

GOLDEN = [
    ("empty_body_is_refused", "pass", published_for_the_body_that_was_accepted),
    (BAD, "fail", published_for_the_body_that_was_accepted),
    (BAD, "pass", message_beside_an_accepted_command),
    (BAD, "fail", message_of_another_name_beside_an_accepted_command),
    (BAD, "pass", copy_of_another_device_s_message),
    (BAD, "pass", message_like_another_device_s({"a": 1}, after_s=1.0)),
    (BAD, "fail", message_like_another_device_s({"a": 1}, after_s=60.0)),
    (BAD, "fail", message_like_another_device_s({}, after_s=1.0)),
    (BAD, "fail", published_like_an_earlier_scenario_s_command),
    answers("well_formed_command_is_accepted", "pass"),
    answers("well_formed_command_is_accepted", "fail", status=500),
    answers("well_formed_command_is_accepted", "fail", status=None, closed_by="peer"),
    answers("well_formed_command_is_accepted", "inconclusive", status=None, closed_by="us"),
    answers("well_formed_command_is_accepted", "fail", answer={"message": "sent", "action": "send"}),
    answers("well_formed_command_is_accepted", "fail", answer={"success": "true", "message": "sent", "action": "send"}),
    answers("well_formed_command_is_accepted", "fail", answer={"success": True, "message": None, "action": "send"}),
    answers("well_formed_command_is_accepted", "fail", answer="[]"),
    # These are spoken of by other rows: custom commands, an empty configuration, data for a reboot, another kind of device.
    answers("well_formed_command_is_accepted", "inconclusive", "blink_led", {"times": 1}, 403),
    answers("well_formed_command_is_accepted", "inconclusive", CONFIGURATION, {}, 400),
    answers("well_formed_command_is_accepted", "inconclusive", "reboot", {"delay": 1}, 400),
    ("well_formed_command_is_accepted", "inconclusive", to("wifi", data={"a": 1}, status=404)),
    answers("accepted_command_answers_the_documented_texts", "pass"),
    answers("accepted_command_answers_the_documented_texts", "deviation", answer={"success": True, "message": "ok", "action": "sent"}),
    answers("accepted_command_answers_the_documented_texts", "deviation", answer="OK"),
    ("accepted_command_answers_the_documented_texts", "fail", declared("CMD-01", "as documented", sends(answer={"success": True}))),
    answers(BAD, "pass", status=400, **raw("{")),
    answers(BAD, "pass", "download_firmware", {}, 400),
    answers(BAD, "pass", status=400, **raw("base64://4=")),
    answers(BAD, "deviation", status=200, **raw('{"command": "configuration", "data": {"value": NaN}}')),
    answers(BAD, "fail", status=500, **raw('{"command": "configuration", "data": {"value": NaN}}')),
    answers(BAD, "fail", status=200, **raw('{"command": "configuration", "data": null}')),
    answers(BAD, "fail", status=200, **raw('{"command": 7}')),
    answers(BAD, "fail", status=500, **raw("[]")),
    answers(BAD, "fail", status=None, closed_by="peer", **raw("[" * 5)),
    answers(BAD, "fail", "download_logo", {"file_name": 5}, 404),
    answers(BAD, "fail", status=422, **raw('{"command": "configuration", "data": []}')),
    (BAD, "fail", published_though_refused("download_firmware", status=400)),
    answers(BAD, "inconclusive", status=200, raw=""),
    answers(BAD, "inconclusive", "send_configuration", {"keys": 5}, 200),
    (BAD, "pass", published_for_somebody_else),
    answers("empty_body_is_refused", "inconclusive", status=200, raw="{"),
    answers("malformed_keys_are_refused", "inconclusive", "download_firmware", {}, 200),
    answers("organisation_without_feature_is_refused", "inconclusive", status=None, credential="api-key:disabled", closed_by="us"),
    answers("empty_body_is_refused", "pass", status=400, raw=""),
    answers("empty_body_is_refused", "fail", status=500, raw=""),
    answers("malformed_keys_are_refused", "pass", "send_configuration", {"keys": "all"}, 400),
    answers("malformed_keys_are_refused", "warning", "send_configuration", {"keys": [1]}, 200),
    ("file_of_another_type_is_refused", "pass", downloads("logo.png", 400)),
    ("file_of_another_type_is_refused", "deviation", downloads("", 404)),
    ("file_of_another_type_is_refused", "pass", declared("CMD-11", "404", downloads("notes.txt", 404))),
    ("file_of_another_type_is_refused", "fail", downloads("logo.png", 200)),
    ("file_of_another_type_is_refused", "fail", downloads("fw.bin.exe", 500)),
    ("stored_file_of_the_type_is_accepted", "pass", downloads("fw.bin", 200)),
    ("stored_file_of_the_type_is_accepted", "fail", downloads("fw.bin", 404)),
    ("stored_file_of_the_type_is_accepted", "deviation", downloads("odd name.BIN", 400)),
    ("stored_file_of_the_type_is_accepted", "pass", lost_after_its_download),
    ("stored_file_of_the_type_is_accepted", "pass", command_of_an_uploaded_file()),
    ("stored_file_of_the_type_is_accepted", "pass", command_of_an_upload_with_blanks(200)),
    ("stored_file_of_the_type_is_accepted", "inconclusive", command_of_an_upload_with_blanks(404)),
    ("stored_file_of_the_type_is_accepted", "fail", command_of_an_upload_with_blanks(500)),
    ("missing_file_is_refused", "pass", command_of_an_uploaded_file()),
    ("missing_file_is_refused", "fail", command_of_an_uploaded_file(200)),
    ("missing_file_is_refused", "pass", downloads("gone.bin", 404)),
    ("missing_file_is_refused", "pass", downloads("../fw.bin", 400)),
    ("missing_file_is_refused", "pass", downloads("%.bin", 400)),
    ("missing_file_is_refused", "fail", downloads("%.bin", 200)),
    ("missing_file_is_refused", "deviation", downloads("gone.bin", 400)),
    ("missing_file_is_refused", "fail", downloads("gone.bin", 200)),
    ("missing_file_is_refused", "fail", downloads("elsewhere.bin", 200)),
    answers("command_without_valid_key_is_unauthorized", "pass", status=401, **UNKNOWN),
    answers("command_without_valid_key_is_unauthorized", "fail", status=200, **UNKNOWN),
    answers("command_without_valid_key_is_unauthorized", "fail", status=403, credential="none"),
    ("command_without_valid_key_is_unauthorized", "fail", published_though_refused(CONFIGURATION, status=401, credential="none")),
    answers("command_without_scope_is_forbidden", "pass", status=403, credential="api-key:read_only"),
    answers("command_without_scope_is_forbidden", "fail", status=200, credential="api-key:read_only"),
    ("unlisted_command_is_forbidden", "pass", to("listed", "reset", status=403)),
    ("unlisted_command_is_forbidden", "fail", to("listed", "configurationx", status=200)),
    ("unlisted_command_is_forbidden", "fail", to("listed", "reset", status=400)),
    ("unlisted_command_is_forbidden", "deviation", to("listed", "Reboot", status=200)),
    ("unlisted_command_is_forbidden", "fail", list_of_allowed_commands("reboot", CONFIGURATION, 200)),
    ("unlisted_command_is_forbidden", "inconclusive", to("listed", "a;b", status=400)),
    ("unlisted_command_is_forbidden", "pass", to("listed", "a;b", status=403)),
    ("unlisted_command_is_forbidden", "fail", to("listed", "a;b", status=200)),
    ("permitted_command_is_accepted", "inconclusive", sends("blink led", {"a": 1}, 400)),
    ("permitted_command_is_accepted", "inconclusive", sends("x" * 64, {"a": 1}, 400)),
    ("permitted_command_is_accepted", "fail", sends("blink led", {"a": 1}, 403)),
    ("permitted_command_is_accepted", "pass", to("listed", "blink_led", {"a": 1})),
    ("permitted_command_is_accepted", "fail", to("listed", CONFIGURATION, {"a": 1}, 403)),
    ("permitted_command_is_accepted", "deviation", to("listed", "blink_led", {"a": 1}, 403)),
    ("permitted_command_is_accepted", "fail", sends("blink_led", {"a": 1}, 403)),
    ("permitted_command_is_accepted", "fail", list_of_allowed_commands("", "blink_led", 403)),
    ("permitted_command_is_accepted", "inconclusive", sends(data={"a": 1})),
    ("unknown_device_is_not_found", "pass", to("nobody", status=404)),
    ("unknown_device_is_not_found", "fail", to("nobody", status=200)),
    ("unknown_device_is_not_found", "fail", to("http", status=400)),
    ("unknown_device_is_not_found", "deviation", sends(status=403, credential="api-key:other_org")),
    ("unknown_device_is_not_found", "pass", declared("CMD-16b", "403", sends(status=403, credential="api-key:other_org"))),
    ("unknown_device_is_not_found", "deviation", lambda story: story.command(status=200, project=story.other_project)),
    ("unknown_device_is_not_found", "inconclusive", sends(status=400, device="dev-123")),
    answers("error_bodies_follow_the_contract", "pass", status=400, raw="{"),
    answers("error_bodies_follow_the_contract", "warning", status=400, raw="{", answer={"success": False}),
    answers("error_bodies_follow_the_contract", "fail", status=400, raw="{", answer="Bad Request"),
    answers("error_bodies_follow_the_contract", "fail", status=401, credential="none", answer={"success": True}),
    answers("error_bodies_follow_the_contract", "fail", status=404, answer={"code": 7}),
    answers("error_bodies_follow_the_contract", "inconclusive", status=404, device="dev-123", answer="no route"),
    answers("error_bodies_follow_the_contract", "inconclusive", status=503, answer="down"),
    answers("answers_are_json", "pass", content_type="Application/JSON; charset=utf-8"),
    answers("answers_are_json", "fail", content_type="text/html"),
    answers("answers_are_json", "fail", status=400, raw="{", content_type="text/plain"),
    answers("organisation_without_feature_is_refused", "pass", status=403, credential="api-key:disabled"),
    answers("organisation_without_feature_is_refused", "deviation", status=404, credential="api-key:disabled"),
    answers("organisation_without_feature_is_refused", "fail", status=200, credential="api-key:disabled"),
    ("organisation_without_feature_is_refused", "fail", disabled_lists(200)),
    ("every_commandable_kind_takes_commands", "pass", to("wifi", data={"a": 1})),
    ("every_commandable_kind_takes_commands", "fail", to("wifi", data={"a": 1}, status=404)),
    ("unlisted_command_is_forbidden", "inconclusive", kind_that_is_not_known),
    ("unlisted_command_is_forbidden", "fail", to("listed", "reset", status=404)),
    ("every_commandable_kind_takes_commands", "fail", refused_for_its_kind("blink_led", {})),
    ("every_commandable_kind_takes_commands", "fail", refused_for_its_kind("download_firmware", {"file_name": "fw.bin"})),
    ("permitted_command_is_accepted", "pass", refused_for_its_kind("blink_led", {})),
    ("stored_file_of_the_type_is_accepted", "pass", refused_for_its_kind("download_firmware", {"file_name": "fw.bin"})),
    ("every_commandable_kind_takes_commands", "inconclusive", to("wifi", "blink_led", status=403)),
    ("permitted_command_is_accepted", "fail", to("wifi", "blink_led", status=403)),
    ("every_commandable_kind_takes_commands", "inconclusive", to("dev", data={"a": 1}, status=404)),
    ("every_commandable_kind_takes_commands", "inconclusive", to("listed", data={"a": 1})),
    answers("several_defects_are_answered_in_order", "pass", status=401, credential="none", raw="{"),
    answers("several_defects_are_answered_in_order", "deviation", status=400, credential="none", raw="{"),
    answers("several_defects_are_answered_in_order", "inconclusive", status=400, raw="{"),
    answers("unusual_data_is_accepted", "pass", status=200, raw=ABSENT_DATA),
    answers("unusual_data_is_accepted", "deviation", status=400, raw=ABSENT_DATA),
    answers("unusual_data_is_accepted", "inconclusive", data={"a": 1}),
    answers("ids_of_another_form_are_refused", "pass", status=400, device="dev-123"),
    answers("ids_of_another_form_are_refused", "deviation", status=500, device="dev-123"),
    answers("ids_of_another_form_are_refused", "deviation", status=422, project="1"),
    ("command_without_broker_is_not_accepted", "pass", without_a_broker(503)),
    ("well_formed_command_is_accepted", "pass", without_a_broker(503)),
    ("command_without_broker_is_not_accepted", "deviation", without_a_broker(200)),
]
