"""The portal in a real browser: upload a firmware, send it to a running virtual device, watch the timeline until it is installed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import expect, sync_playwright

from simulators.platform.process import PlatformProcess

pytestmark = [pytest.mark.browser, pytest.mark.slow]
# HIL_SCREENSHOTS=fixtures/images renews the pictures of README.
SCREENSHOTS = os.environ.get("HIL_SCREENSHOTS", "")


@pytest.fixture(scope="module")
def platform(tmp_path_factory):
    with PlatformProcess(tmp_path_factory.mktemp("platform"), "--shape", "2mbit") as running:
        yield running


@pytest.fixture
def device(platform):
    """A reference device that runs, and answers as soon as it is connected."""
    target = platform.target()
    chosen = next(device for device in target["devices"] if device["kind"] == "mqtt" and not device["allowed_commands"])
    hil = str(Path(sys.executable).with_name("hil"))
    command = [hil, "device", "--target", str(platform.target_path), "--device", chosen["id"]]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    yield chosen
    process.terminate()
    process.communicate(timeout=20)


@pytest.fixture
def page(find_program, request):
    """A fresh page whose console errors fail the test."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_program("chromium"), args=["--no-sandbox"])
        problems = []
        opened = browser.new_page(viewport={"width": 1280, "height": 900}, **getattr(request, "param", {}))
        opened.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
        opened.on("pageerror", lambda error: problems.append(str(error)))
        opened.set_default_timeout(20_000)
        yield opened
        browser.close()
    refused = "the server responded with a status of 403"  # Chromium's own line for an answer that a test wants
    assert [problem for problem in problems if refused not in problem] == []


def log_in(page, platform, key="full"):
    target = platform.target()
    page.goto(target["api_url"] + "/portal")
    page.get_by_label("API key").fill(target["api_keys"][key])
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", name="Projects")).to_be_visible()


def keep_picture(page, name):
    if SCREENSHOTS:
        Path(SCREENSHOTS).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=str(Path(SCREENSHOTS) / name))


def test_a_firmware_is_uploaded_sent_and_seen_to_be_installed(page, platform, device, tmp_path):
    image = tmp_path / "thermo v4.bin"
    image.write_bytes(os.urandom(300_000))
    log_in(page, platform)
    page.goto(f"{platform.target()['api_url']}/portal/projects/{device['project_id']}")
    page.get_by_label("File").set_input_files(image)
    page.get_by_label("Description").fill("from the browser")
    page.get_by_role("button", name="Upload").click()
    expect(page.get_by_role("cell", name="thermo v4.bin", exact=True)).to_be_visible()
    keep_picture(page, "portal-project.png")
    page.goto(f"{platform.target()['api_url']}/portal/devices/{device['id']}")
    expect(page.locator("h1 .badge")).to_have_text("connected")
    expect(page.locator("#live")).to_have_text("live")
    page.get_by_label("Command").select_option("download_firmware")
    page.locator("fieldset:not([hidden]) [name=file_name]").select_option("thermo v4.bin")
    page.get_by_role("button", name="Send").click()
    expect(page.locator("#answer")).to_have_text("The broker has the command.")
    expect(page.locator("#timeline")).to_contain_text("download_firmware: installed")
    timeline = page.locator("#timeline").inner_text()
    for step in ("command sent", "PUBLISH", "PUBREC", "PUBREL", "PUBCOMP", "key used", "download started", "download ended"):
        assert step in timeline, step
    assert page.locator("#timeline progress").first.evaluate("bar => bar.value") == 1
    keep_picture(page, "portal-timeline.png")


def test_a_file_is_deleted_and_a_bad_one_is_refused(page, platform, tmp_path):
    log_in(page, platform)
    page.get_by_role("link", name="Greenhouse").click()
    page.get_by_role("button", name="Delete badge.bmp").click()
    expect(page.get_by_role("cell", name="badge.bmp", exact=True)).to_have_count(0)
    image = tmp_path / "notes.txt"
    image.write_text("no firmware")
    page.get_by_label("File").set_input_files(image)
    page.get_by_role("button", name="Upload").click()
    expect(page.get_by_role("alert")).to_contain_text("notes.txt")


def test_a_key_without_the_scope_sees_the_refusal(page, platform):
    log_in(page, platform, "read_only")
    page.get_by_role("link", name="sensor-1").click()
    page.get_by_label("Command").select_option("reboot")
    with page.expect_response("**/commands") as answer:
        page.get_by_role("button", name="Send").click()
    assert answer.value.status == 403
    expect(page.locator("#answer")).to_contain_text("send-commands")


def test_strangers_are_sent_to_the_login_page_and_foreign_devices_do_not_exist(page, platform, device):
    base = platform.target()["api_url"]
    page.goto(f"{base}/portal/devices/{device['id']}")
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    log_in(page, platform, "other_org")
    assert page.request.get(f"{base}/portal/devices/{device['id']}").status == 404


@pytest.mark.parametrize("page", [{"color_scheme": "light"}, {"color_scheme": "dark"}], indirect=True)
@pytest.mark.parametrize("width", [400, 1280])
def test_no_page_is_wider_than_the_window(page, platform, device, width, request):
    log_in(page, platform)
    page.set_viewport_size({"width": width, "height": 850})
    base = platform.target()["api_url"]
    for path in ("/portal", f"/portal/projects/{device['project_id']}", f"/portal/devices/{device['id']}", "/docs"):
        page.goto(base + path)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
    page.goto(f"{base}/portal/devices/{device['id']}")
    scheme = request.node.callspec.params["page"]["color_scheme"]
    keep_picture(page, f"portal-{scheme}-{width}.png")
