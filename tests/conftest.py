"""What all tests share: which programs of other people are there, and that a test which could not run is seen.

A test marked `peer("mosquitto")`, `qemu` or `browser` skips itself with a reason where its program is missing. With HIL_NO_SKIP=1 (as
in CI) a run that skipped anything is red.
"""

import os
import shutil
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

_NODE_MODULES = Path(__file__).parent / "interop" / "node_modules"
# Debian keeps servers outside the PATH of ordinary users.
_SEARCH_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin", "/sbin"])
_CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome")
_MISSING = "missing program: "

# Wall time says nothing on a shared machine; `HIL_EXAMPLES=1000` digs deeper.
settings.register_profile(
    "hil",
    deadline=None,
    print_blob=True,
    max_examples=int(os.environ.get("HIL_EXAMPLES", "100")),
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("hil")


def program(name: str) -> str | None:
    """Where the peer `name` is installed, or None. `mqttjs` is MQTT.js below node, all others are programs."""
    if name == "mqttjs":
        installed = shutil.which("node", path=_SEARCH_PATH) and (_NODE_MODULES / "mqtt").is_dir()
        return str(_NODE_MODULES / "mqtt") if installed else None
    names = _CHROMIUM_NAMES if name == "chromium" else (name,)
    return next((path for candidate in names if (path := shutil.which(candidate, path=_SEARCH_PATH))), None)


def _needed(item: pytest.Item) -> list[str]:
    names = [str(name) for mark in item.iter_markers("peer") for name in mark.args]
    names += ["qemu-system-arm"] if item.get_closest_marker("qemu") else []
    names += ["chromium"] if item.get_closest_marker("browser") else []
    return names


def pytest_runtest_setup(item: pytest.Item) -> None:
    missing = [name for name in _needed(item) if program(name) is None]
    if missing:
        pytest.skip(_MISSING + ", ".join(missing))


@pytest.fixture(scope="session")
def find_program():
    """A function from a peer's name to its path; None where it is not installed."""
    return program


def _no_skip() -> bool:
    return os.environ.get("HIL_NO_SKIP", "") not in ("", "0")


def pytest_sessionfinish(session: pytest.Session) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if _no_skip() and reporter is not None and reporter.stats.get("skipped") and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter) -> None:
    skipped = terminalreporter.stats.get("skipped", [])
    reasons = [report.longrepr[2] for report in skipped if isinstance(report.longrepr, tuple)]
    missing = Counter(reason.partition(_MISSING)[2] for reason in reasons if _MISSING in reason)
    if missing:
        counted = ", ".join(f"{name} ({count})" for name, count in sorted(missing.items()))
        terminalreporter.write_line(
            f"{missing.total()} tests skipped for missing programs: {counted}; `make peers` installs them", yellow=True
        )
    if skipped and _no_skip():
        terminalreporter.write_line(f"HIL_NO_SKIP is set: {len(skipped)} skipped tests make this run red", red=True)


@pytest.fixture(autouse=True, scope="session")
def _no_keys_of_the_user(tmp_path_factory):
    """Packages written by tests are signed with a key of the tests, and nothing is written into the home of who runs them."""
    directory = tmp_path_factory.mktemp("configuration")
    before = os.environ.get("XDG_CONFIG_HOME")
    os.environ["XDG_CONFIG_HOME"] = str(directory)
    yield
    if before is None:
        del os.environ["XDG_CONFIG_HOME"]
    else:
        os.environ["XDG_CONFIG_HOME"] = before
