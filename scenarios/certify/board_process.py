"""The process of one board under `--all`: the command `hil`, which ends when the process that started it does, however that ends.

Its standard input is a pipe that nothing is written to. The other end is closed with its holder, by the operating system: even a parent
that was killed leaves no board behind that is certified for nobody.
"""

import os
import signal
import sys
import threading

from harness.cli import main


def _end_with_the_parent() -> None:
    """Waits for the pipe's end; then the run ends as at a SIGTERM: the board is given back, a partial report is written."""
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    sys.exit(main())
