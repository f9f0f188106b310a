"""Simulated runs in processes of their own."""

import json
import os
import subprocess
import sys
from collections.abc import Callable

import pytest

_PROGRAM = """
import json, sys
from simulators.world.campaign import Campaign, run_seed
campaign = Campaign()
print(json.dumps([run_seed(campaign, seed).digest for seed in range(int(sys.argv[1]), int(sys.argv[2]))]))
"""


@pytest.fixture
def digests_in_process() -> Callable[[int, int, int], "subprocess.Popen[str]"]:
    """`start(first, end, hash_seed)` runs seeds in a new process with that hash seed; its stdout is a JSON list of digests."""

    def start(first: int, end: int, hash_seed: int) -> "subprocess.Popen[str]":
        environment = {**os.environ, "PYTHONHASHSEED": str(hash_seed)}
        command = [sys.executable, "-c", _PROGRAM, str(first), str(end)]
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)

    return start


@pytest.fixture
def answer_of() -> Callable[["subprocess.Popen[str]"], list[str]]:
    """The digests that a process of `digests_in_process` printed."""

    def wait(process: "subprocess.Popen[str]") -> list[str]:
        output, _ = process.communicate(timeout=280)
        assert process.returncode == 0
        return json.loads(output)

    return wait
