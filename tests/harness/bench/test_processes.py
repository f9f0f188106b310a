"""A process of ours does not outlive us."""

import os
import select
import subprocess
import sys

import pytest

from harness.bench.processes import ending_with_us

STARTER = """
import subprocess, sys, time
from harness.bench.processes import ending_with_us
command = ["sh", "-c", 'exec 3> "$0"; echo up; exec sleep 60', sys.argv[1]]
print(subprocess.Popen(ending_with_us(command), stdout=subprocess.PIPE, text=True).stdout.readline(), end="", flush=True)
time.sleep(60)
"""


def test_a_process_ends_with_its_starter_even_if_that_is_killed(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    starter = subprocess.Popen([sys.executable, "-c", STARTER, str(pipe)], stdout=subprocess.PIPE, text=True)
    assert starter.stdout is not None
    assert starter.stdout.readline() == "up\n"

    starter.kill()
    starter.communicate()

    assert select.select([reader], [], [], 10.0)[0]
    assert os.read(reader, 1) == b""  # nobody has the other end any more
    os.close(reader)


def test_a_process_keeps_its_id_and_its_exit_status():
    process = subprocess.Popen(ending_with_us(["sh", "-c", "echo $$; exit 3"]), stdout=subprocess.PIPE, text=True)
    assert process.communicate()[0] == f"{process.pid}\n"
    assert process.returncode == 3


@pytest.mark.parametrize("setpriv", [None, "#!/bin/sh\necho unrecognized option >&2; exit 1\n"], ids=["missing", "another"])
def test_where_no_setpriv_can_do_it_the_command_is_as_it_was(monkeypatch, tmp_path, setpriv):
    if setpriv is not None:
        (tmp_path / "setpriv").write_text(setpriv)
        (tmp_path / "setpriv").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert ending_with_us(["mosquitto", "-v"]) == ["mosquitto", "-v"]
