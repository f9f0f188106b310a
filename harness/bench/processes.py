"""Processes that are started here: none outlives the one that started it, however that ends."""

import shutil
from collections.abc import Sequence


def ending_with_us(command: Sequence[str]) -> list[str]:
    """The command such that its process gets a SIGTERM when we end, even by SIGKILL; the command as it is where setpriv(1) is missing.

    Its starter is the thread that starts it, which must live for as long as the process is wanted.
    """
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "TERM", "--", *command] if setpriv else list(command)
