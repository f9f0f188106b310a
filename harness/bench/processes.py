"""Processes that are started here: none outlives the one that started it, however that ends."""

import subprocess
from collections.abc import Sequence

_LEASH = ("setpriv", "--pdeathsig", "TERM", "--")  # of util-linux; other programs of that name lack the option


def ending_with_us(command: Sequence[str]) -> list[str]:
    """The command such that its process gets a SIGTERM when we end, even by SIGKILL; as it is where this machine has no setpriv(1) for it.

    Its starter is the thread that starts it, which must live for as long as the process is wanted.
    """
    return [*_LEASH, *command] if _has_leash() else list(command)


def _has_leash() -> bool:
    try:
        return subprocess.run([*_LEASH, "true"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False
