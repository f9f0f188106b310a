"""The pages in a real browser, from a file: no console error, no request, no sideways scrolling, and on paper everything is open.

Screenshots are kept beside the test's files, for whoever wants to look.
"""

from dataclasses import replace

import pytest

from harness.report.certificate import DownloadedImage, Official
from harness.report.html import as_html
from harness.report.trend import as_trend_page

pytestmark = pytest.mark.browser

SIZES = [(1280, "light"), (400, "dark")]
IMAGE = DownloadedImage("hil-1.bin", "app-2.0.5.bin", 20_000, "5e" * 32, "an observer")
LEAST_CONTRAST = 4.5  # WCAG 2.2, AA

CONTRAST = """() => {
  const level = (colour) => {
    const linear = (v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    const [r, g, b] = colour.match(/[\\d.]+/g).slice(0, 3).map((v) => linear(v / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if (!/, 0\\)|transparent/.test(colour)) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  return [...document.querySelectorAll("p, h1, h2, h3, dd, dt, td, th, li, a, .badge, summary, code")]
    .filter((element) => element.textContent.trim() && element.offsetParent)
    .map((element) => {
      const [a, b] = [level(getComputedStyle(element).color), level(behind(element))].sort((x, y) => y - x);
      return [(a + 0.05) / (b + 0.05), element.className + ": " + element.textContent.trim().slice(0, 40)];
    })
    .sort((one, other) => one[0] - other[0])[0];
}"""


@pytest.fixture(scope="module")
def browser(find_program):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # The sandbox needs rights that containers do not give; the pages are our own.
        launched = playwright.chromium.launch(executable_path=find_program("chromium"), args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture(params=["report", "trend"])
def path(request, tmp_path, report, history):
    certificate = replace(report, images=(IMAGE,), official=Official(2, (f"{'a_check_of_a_long_name_' * 4}is fail",)))
    page = as_html(certificate, history) if request.param == "report" else as_trend_page([report])
    path = tmp_path / f"{request.param}.html"
    path.write_text(page, encoding="utf-8")
    return path


@pytest.fixture(params=SIZES, ids=[str(width) for width, _ in SIZES])
def opened(request, browser, path):
    """The page, opened, and what it complained about or asked the network for."""
    width, scheme = request.param
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    complaints = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda asked: complaints.append(asked.url) if not asked.url.startswith(("file:", "data:")) else None)
    page.goto(path.as_uri())
    page.screenshot(path=str(path.with_suffix(f".{width}.png")), full_page=True)
    yield page, complaints
    page.close()


def test_a_page_opens_without_a_complaint_and_without_the_network(opened):
    assert opened[1] == []


def test_a_page_is_not_wider_than_the_screen(opened):
    assert opened[0].evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_text_can_be_read_in_light_and_dark(opened):
    contrast, where = opened[0].evaluate(CONTRAST)
    assert contrast >= LEAST_CONTRAST, where


def test_the_words_of_a_timeline_begin_on_the_screen(opened):
    lefts = opened[0].evaluate("[...document.querySelectorAll('.timeline .words')].map((e) => e.getBoundingClientRect().left / innerWidth)")
    assert [left for left in lefts if left > 0.5] == []


def test_text_is_not_small(opened):
    assert (
        opened[0].evaluate("Math.min(...[...document.querySelectorAll('p, td, dd')].map((e) => parseFloat(getComputedStyle(e).fontSize)))")
        >= 12
    )


def test_printing_opens_what_is_folded(browser, path):
    page = browser.new_page()
    page.goto(path.as_uri())
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details:not([open])").count() == 0
    assert len(page.pdf()) > 5_000
    page.close()
