"""A finding can be seen again without hil: its script, run against the wrong platform, prints the wrong behaviour."""

import os
import re
import subprocess
import sys

import pytest

from simulators.platform.process import PlatformProcess

pytestmark = [pytest.mark.slow, pytest.mark.peer("curl"), pytest.mark.peer("mosquitto_sub"), pytest.mark.peer("mosquitto_pub")]

HIL = [sys.executable, "-m", "harness.cli"]


def secrets_for(script, target):
    """What a reader would fill in: the script says of each variable what it is."""
    tokens = {device["id"]: device["token"] for device in target["devices"]}
    known = {f"the token of device {name}": token for name, token in tokens.items()}
    known |= {f"[platform.api_keys] {name}": key for name, key in target["api_keys"].items()}
    return {name: known[what] for name, what in re.findall(r"^(\w+)=\$\{\1:\?(.*)\}$", script, re.MULTILINE)}


@pytest.fixture
def seen_again(tmp_path):
    """A function from a personality and a check to what the check's script prints, and whether a secret stands in it."""

    def run(personality, check):
        with PlatformProcess(tmp_path / "state", "--personality", personality) as platform:
            certify = ["certify", "platform", "--target", platform.target_path, "--only", check, "--out", tmp_path / "out", "--seed", "3"]
            subprocess.run([*HIL, *certify], capture_output=True, timeout=120, check=False)
            path = tmp_path / "out" / "reproduce" / f"{check}.sh"
            script, target = path.read_text(), platform.target()
            secrets = secrets_for(script, target)
            assert not [secret for secret in secrets.values() if secret in script]
            done = subprocess.run([path], env={**os.environ, **secrets}, capture_output=True, text=True, timeout=120, check=False)
        assert done.stderr == ""
        return done.stdout

    return run


def test_a_key_that_works_twice_delivers_twice(seen_again):
    output = seen_again("keys-work-twice", "key_works_once")
    assert output.count("Content-Disposition: attachment") == 2
    assert "a used key was answered 200, allowed: 401" in output


def test_a_command_with_qos_1_is_seen_with_qos_1(seen_again):
    output = seen_again("publishes-with-qos-1", "command_is_published_with_qos_2")
    assert re.search(r"received PUBLISH \(d0, q1, r0, ", output)


def test_a_forgotten_scope_lets_the_read_only_key_send(seen_again):
    output = seen_again("forgets-scopes", "command_without_scope_is_forbidden")
    assert "HTTP/1.1 200 OK" in output
    assert "message: topic=" in output


def test_any_password_opens_the_connection(seen_again):
    output = seen_again("takes-any-password", "wrong_token_is_refused_at_connect")
    assert "received CONNACK (0)" in output


def test_a_list_without_files_member_is_shown(seen_again):
    output = seen_again("lists-bare", "list_body_is_an_object_with_files")
    assert re.search(r"^\[\{", output, re.MULTILINE)


def test_a_deleted_file_is_served_again_by_way_of_the_hooks(seen_again):
    output = seen_again("serves-deleted-files", "deleted_file_is_not_found")
    assert "Content-Disposition: attachment; filename=hil-uploaded.bin" in output
