"""`python -m simulators.platform`: the same command as `hil platform`, for whoever starts it as a child process."""

from harness.cli import log_to_stderr
from simulators.platform.cli import app

if __name__ == "__main__":
    log_to_stderr(0)
    app()
