"""Schemathesis, with all its checks, holds the platform to its own contract and to the documents of the source."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from simulators.platform.process import PlatformProcess

DOCUMENTS = Path(__file__).parents[2] / "fixtures" / "openapi"

# Each exemption with its reason; our own document has none.
EXEMPT = {
    "positive_data_acceptance": (
        "the source's documents state neither `required` nor enums: a body without `command` and any text as `type` are valid by them, "
        "and must still be answered with 400 (CMD-10, LST-04)"
    ),
}


@pytest.fixture(scope="module")
def platform(tmp_path_factory):
    with PlatformProcess(tmp_path_factory.mktemp("platform")) as running:
        yield running


@pytest.fixture(scope="module")
def configuration(platform, tmp_path_factory):
    """Real ids and credentials, so that requests get beyond the first refusal."""
    target = platform.target()
    device = next(device for device in target["devices"] if device["kind"] == "mqtt" and not device["allowed_commands"])
    path = tmp_path_factory.mktemp("schemathesis") / "schemathesis.toml"
    path.write_text(
        f"""
headers = {{ Authorization = "Bearer {target["api_keys"]["full"]}" }}
[parameters]
"path.project_id" = "{device["project_id"]}"
"path.device_id" = "{device["id"]}"
[[operations]]
include-path = "/v2/device/download"
headers = {{ Authorization = "Basic {device["token"]}" }}
"""
    )
    return path


def schemathesis_run(configuration, document, *options):
    """The exit status, how many requests were judged, and the whole report."""
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(configuration), "run", str(document)]
    if not Path(sys.executable).with_name("schemathesis").exists():
        pytest.skip("missing program: schemathesis")
    command[:3] = [str(Path(sys.executable).with_name("schemathesis"))]
    done = subprocess.run([*command, "--checks", "all", "--no-color", *options], capture_output=True, text=True, timeout=280)
    generated = re.search(r"(\d+) generated", done.stdout)
    return done.returncode, int(generated.group(1)) if generated else 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_platform_keeps_its_own_contract_over_two_thousand_requests(platform, configuration):
    status, judged, report = schemathesis_run(configuration, platform.target()["api_url"] + "/openapi.json", "-n", "550", "--seed", "1")
    assert status == 0, report
    assert judged >= 2_000, report


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", ["command", "files", "download"])
def test_the_platform_keeps_the_documents_of_the_source(platform, configuration, name):
    document = DOCUMENTS / f"openapi-{name}.json"
    url = platform.target()["api_url"]
    status, _, report = schemathesis_run(
        configuration, document, "--url", url, "-n", "150", "--seed", "1", "--exclude-checks", ",".join(EXEMPT)
    )
    assert status == 0, report
