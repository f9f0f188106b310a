"""`python -m simulators.platform`: the same command as `hil platform`, for whoever starts it as a child process."""

from simulators.platform.cli import app

if __name__ == "__main__":
    app()
