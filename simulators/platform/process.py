"""`hil platform` as a process of its own: for tests and benches that must be able to kill it."""

import os
import signal
import subprocess
import sys
import tomllib
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from harness.bench.processes import ending_with_us
from harness.errors import BenchError

_TARGET_LINE = "target file: "


class PlatformProcess:
    """Runs `hil platform --state DIR` with further options. Use it as a context manager; `start` again after `kill`."""

    def __init__(self, state_directory: Path, *options: str) -> None:
        self._command = [sys.executable, "-m", "simulators.platform", "--state", str(state_directory), *options]
        self._process: subprocess.Popen[str] | None = None
        self.target_path = Path()

    def start(self) -> None:
        """Returns when the platform serves. Raises BenchError where it ends instead."""
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        # A session of its own: Ctrl-C on the terminal is for whoever started it, who ends it when everything else has left.
        self._process = subprocess.Popen(
            ending_with_us(self._command),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            start_new_session=True,
        )
        try:
            is_serving = self._is_serving(self._process)
        except KeyboardInterrupt:  # Nobody else would end it.
            self.stop()
            raise
        if not is_serving:
            _, errors = self._process.communicate()
            raise BenchError(f"{' '.join(self._command)} ended with status {self._process.returncode}: {errors.strip()[-2_000:]}")

    def _is_serving(self, process: subprocess.Popen[str]) -> bool:
        """Reads the path of the target file, which says that it serves; False where the process ended instead."""
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith(_TARGET_LINE):
                self.target_path = Path(line[len(_TARGET_LINE) :].rstrip("\n"))
                return True
        return False

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def target(self) -> dict[str, Any]:
        """The table `[platform]` of its target file."""
        tables: dict[str, Any] = tomllib.loads(self.target_path.read_text())["platform"]
        return tables

    def kill(self) -> None:
        """SIGKILL: no chance to tidy up."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """SIGTERM; returns the exit status."""
        return self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> int:
        assert self._process is not None
        self._process.send_signal(number)
        self.errors = self._process.communicate()[1]
        return self._process.returncode

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._process is not None and self._process.poll() is None:
            self.stop()
