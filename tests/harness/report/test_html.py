"""The page says everything, hides nothing behind the network, and lets nothing of the wire become markup."""

from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pytest

from harness.checks.verdict import Verdict
from harness.history import events as ev
from harness.history.timeline import History
from harness.report.certificate import DownloadedImage, Official
from harness.report.html import as_html
from harness.report.picture import ROWS_MAX, picture, rows_of

CHARACTER_PX = 12.5 * 0.602  # the picture's font at its size; DejaVu Sans Mono is the widest that the page names
VOID = {"meta", "link", "br", "hr", "img", "input"}


class Reader(HTMLParser):
    """Collects what a page holds, and refuses one whose elements are not closed in order."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.attributes, self.text = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def read(page):
    reader = Reader()
    reader.feed(page)
    reader.close()
    assert reader.open == []
    return reader


@pytest.fixture
def page(report, history):
    return as_html(report, history)


def test_the_page_is_well_formed_and_loads_nothing(page):
    reader = read(page)
    loads = [(tag, value) for tag, name, value in reader.attributes if name in ("src", "href") and not value.startswith(("#", "data:"))]
    assert loads == []
    assert "@import" not in page
    assert "url(" not in page


def test_every_check_and_its_requirements_stand_on_the_page(page, report):
    text = "".join(read(page).text)
    for check in report.checks:
        assert check.id in text
        assert check.detail in text
    assert "a subscriber granted QoS 2 on one non-overlapping filter receives it exactly once" in text


def test_what_a_peer_sent_does_not_become_markup(page):
    assert "<script>alert" not in page
    assert "2 deliveries for 1 command &lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_what_stands_between_backticks_is_code_and_still_no_markup(report, history):
    hinted = tuple(replace(check, hint="say `reset <now>` & wait") for check in report.checks)
    page = as_html(replace(report, checks=hinted), history)
    assert "Hint: say <code>reset &lt;now&gt;</code> &amp; wait" in page


def test_findings_come_by_weight(page):
    places = [page.index(f'<article class="card {word}"') for word in ("fail", "error", "inconclusive", "warning", "deviation")]
    assert places == sorted(places)


def test_a_finding_shows_how_to_see_it_again(page):
    assert "hil certify platform --target t.toml --only delivered_once --seed 42" in page


def test_the_page_is_the_same_twice(report, history, page):
    assert as_html(report, history) == page


def test_coverage_environment_and_the_absence_of_a_broker_are_told(page):
    text = "".join(read(page).text)
    assert "[platform.api_keys] has no read_only" in text
    assert "No broker was judged in this run." in text
    assert "CPython 3.11" in text


def test_a_broker_self_check_has_its_place(report, history):
    broker = replace(report.checks[0], id="dup_after_loss", title="Repeats with DUP", requirements=("BRK-03",))
    text = "".join(read(as_html(replace(report, checks=(broker,)), history)).text)
    assert "Repeats with DUP: kept 1 of 1 times" in text


def test_a_report_without_findings_says_so(report, history):
    good = tuple(check for check in report.checks if check.verdict is Verdict.PASS)
    assert "Nothing was found." in as_html(replace(report, checks=good), history)


def test_the_picture_is_xml_with_the_evidence_lit_and_the_fault_marked(history):
    root = ET.fromstring(picture(history, (9, 10)))
    classes = [element.get("class") for element in root.iter() if element.get("class")]
    assert classes.count("band evidence") == 2
    assert classes.count("band fault") == 1


def test_a_label_ends_inside_the_picture(history):
    long = replace(history.events[8].fact, payload="x" * 300)
    drawn = History((*history.events[:8], replace(history.events[8], fact=long), *history.events[9:]))
    root = ET.fromstring(picture(drawn, (9,)))
    labels = [element for element in root.iter() if (element.get("class") or "").startswith("words")]
    widest = max(float(label.get("x")) + len(label.text) * CHARACTER_PX for label in labels)
    assert widest <= float(root.get("width"))


def test_exchanges_and_connections_are_bars(history):
    root = ET.fromstring(picture(history, (4, 15)))
    titles = {element[0].text for element in root.iter("{http://www.w3.org/2000/svg}rect") if element.get("class") == "bar"}
    assert titles == {"exchange 1", "exchange 2", "connection 1"}


def test_there_is_no_picture_without_evidence(history):
    assert picture(history, ()) == ""
    assert picture(history, (999,)) == ""


def test_another_scenario_is_not_drawn(history):
    other = ev.Event(20, 104, 0, "other", ev.FaultInjected("elsewhere", "d", ""))
    mixed = History((*history.events[:10], other, *history.events[10:]))
    assert not any(row.event.scope == "other" for row in rows_of(mixed, (9, 10)))


def test_a_long_wait_and_a_long_run_are_told_not_drawn(history):
    start = history.events[0]
    many = [ev.Event(line, line * 1_800.0, 0, "s", ev.MqttOpened(line, "d")) for line in range(2, 300)]
    drawn = History((start, *many))
    rows = rows_of(drawn, (2, 299))
    assert len(rows) == ROWS_MAX
    assert sum(row.left_out for row in rows) == 298 - ROWS_MAX
    assert "30 min 0 s later" in picture(drawn, (2, 299))


def test_control_characters_of_a_console_do_not_break_the_picture(history):
    ET.fromstring(picture(history, (16,)))


def test_ids_are_short_on_the_picture_and_whole_in_the_tooltip(history):
    root = ET.fromstring(picture(history, (9,)))
    labels = [element for element in root.iter("{http://www.w3.org/2000/svg}text") if (element.get("class") or "").startswith("words")]
    delivered = next(label for label in labels if "delivered" in label.text)
    assert "0b6c1d5e…/control/reboot" in delivered.text
    assert "0b6c1d5e-0000-4000-8000-000000000001/control/reboot" in delivered[0].text


@pytest.mark.parametrize(
    ("command", "again"),
    [
        ("hil certify platform --target t.toml", "hil certify platform --target t.toml --only delivered_once --seed 42"),
        ("hil certify --out r --seed 7 --official", "hil certify --seed 7 --only delivered_once"),
        ("hil certify --skip KEY-01,KEY-02 --out=r --json", "hil certify --json --only delivered_once --seed 42"),
    ],
)
def test_a_finding_s_command_asks_it_alone_into_a_fresh_directory(report, history, command, again):
    page = as_html(replace(report, run=replace(report.run, command=command)), history)
    assert f"Again: <code>{again}</code>" in page


def test_the_page_says_what_could_not_be_shown_and_why(page):
    scope = page[page.index('id="scope"') : page.index('id="broker"')]
    assert "[platform.api_keys] has no read_only" in scope
    assert "scope_is_needed" in scope
    assert "delivered_once" not in scope


def test_the_page_names_the_images_and_what_an_official_certificate_lacks(report, history):
    image = DownloadedImage("hil-1.bin", "app-2.0.5.bin", 20_000, "5e" * 32, "an observer")
    page = as_html(replace(report, images=(image,), official=Official(2, ("the run was aborted",))), history)
    assert all(text in page for text in ("app-2.0.5.bin", "5e" * 32, "refused after 2 runs", "<li>the run was aborted</li>"))
