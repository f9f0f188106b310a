"""A process of ours does not outlive us."""

import os
import select
import subprocess
import sys

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


def test_where_setpriv_is_missing_the_command_is_as_it_was(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert ending_with_us(["mosquitto", "-v"]) == ["mosquitto", "-v"]
