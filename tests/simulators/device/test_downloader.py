"""The download's state machine: what it asks, what it accepts, what it refuses, and every pair that cannot happen."""

import hashlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulators.device import downloader
from simulators.device.download_rules import DownloadRules, Style
from simulators.device.downloader import (
    Begin,
    Body,
    BodyEnd,
    Download,
    Erase,
    Failed,
    Finish,
    Phase,
    Request,
    Response,
    Wait,
    Waited,
    Write,
)

URL = "http://127.0.0.1:8080/v2/device/download?key=a%2Bb&x=%c3"
IMAGE = b"firmware" * 100
SIZE = len(IMAGE)


def run(events, rules=None, url=URL):
    """Feeds events until the end; returns the actions."""
    download = Download(rules or DownloadRules(), url=url, token="to=ken+")
    return [action for event in events for action in download.feed(event)]


def ok(size=SIZE, **headers):
    return Response(200, {"content-length": str(size)} | headers)


def requests(actions):
    return [action for action in actions if isinstance(action, Request)]


def outcome(actions):
    (finish,) = [action for action in actions if isinstance(action, Finish)]
    return finish


def test_one_get_with_the_url_verbatim_and_the_raw_token():
    actions = run([Begin(), ok(), Body(IMAGE), BodyEnd()])
    (request,) = requests(actions)
    assert (request.method, request.url) == ("GET", URL)
    assert request.headers["Authorization"] == "Basic to=ken+"
    assert isinstance(actions[0], Erase)


def test_a_whole_body_is_an_image_with_its_hash():
    image = outcome(run([Begin(), ok(), Body(IMAGE[:5]), Body(IMAGE[5:]), BodyEnd()])).image
    assert image is not None
    assert (image.size_bytes, image.sha256) == (len(IMAGE), hashlib.sha256(IMAGE).hexdigest())


def test_the_file_name_comes_from_the_header_without_its_path():
    disposition = {"content-disposition": 'attachment; filename="../../etc/fw.bin"'}
    image = outcome(run([Begin(), ok(**disposition), Body(IMAGE), BodyEnd()])).image
    assert image is not None
    assert image.file_name == "fw.bin"


@pytest.mark.parametrize(
    "events",
    [
        [ok(), Body(IMAGE[:-1]), BodyEnd()],
        [ok(), Body(IMAGE[:-1]), Failed("cut")],
        [ok(), Body(IMAGE), Failed("cut")],
        [ok(), Failed("cut")],
        [Failed("refused")],
        [Response(200, {})],
        [ok(0), BodyEnd()],
        [ok(10**12)],
        [Response(200, {"transfer-encoding": "chunked"}), Body(IMAGE), Failed("cut")],
        [Response(206, {"content-length": "800"})],
    ],
)
def test_a_body_that_is_not_whole_is_never_an_image(events):
    assert outcome(run([Begin(), *events])).image is None


def test_a_chunked_body_that_ended_cleanly_is_accepted():
    assert outcome(run([Begin(), Response(200, {"transfer-encoding": "chunked"}), Body(IMAGE), BodyEnd()])).image


@pytest.mark.parametrize("status", [204, 301, 304, 400, 401, 403, 404, 410, 429, 500, 502, 503])
def test_an_error_status_is_one_request_and_no_image(status):
    actions = run([Begin(), Response(status, {"content-length": "800"})])
    assert outcome(actions).image is None
    assert len(requests(actions)) == 1
    assert not [action for action in actions if isinstance(action, Write)]


def test_refusal_waits_grow_and_end():
    rules = DownloadRules(refusal_waits_s=(1.0, 4.0))
    no = Response(401, {})
    actions = run([Begin(), no, Waited(), no, Waited(), no], rules)
    assert [action.duration_s for action in actions if isinstance(action, Wait)] == [1.0, 4.0]
    assert len(requests(actions)) == 3
    assert outcome(actions).image is None


def test_a_time_limit_that_ends_during_a_wait_ends_the_download():
    actions = run([Begin(), Response(401, {}), Failed("not complete"), Waited()], DownloadRules(refusal_waits_s=(1.0,)))
    assert (outcome(actions).message, outcome(actions).image) == ("not complete", None)
    assert len(requests(actions)) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_on_the_same_host_is_followed_with_the_token(status):
    actions = run([Begin(), Response(status, {"location": "/other?k=%2B"}), ok(), Body(IMAGE), BodyEnd()])
    first, second = requests(actions)
    assert second.url == "http://127.0.0.1:8080/other?k=%2B"
    assert second.headers["Authorization"] == first.headers["Authorization"]
    assert outcome(actions).image


@pytest.mark.parametrize("location", ["http://localhost:8080/x", "http://127.0.0.1:8081/x", "https://127.0.0.1:8080/x", "//evil/x"])
def test_the_token_stays_away_from_other_hosts(location):
    _, second = requests(run([Begin(), Response(302, {"location": location})]))
    assert "Authorization" not in second.headers


def test_the_token_does_not_come_back_by_a_detour():
    rules = DownloadRules()
    detour = [Response(302, {"location": "http://other/x"}), Response(302, {"location": "http://other/y"})]
    assert ["Authorization" in request.headers for request in requests(run([Begin(), *detour], rules))] == [True, False, False]


def test_redirects_end():
    actions = run([Begin(), *[Response(302, {"location": "/again"})] * 4])
    assert len(requests(actions)) == 4
    assert outcome(actions).image is None


@pytest.mark.parametrize("location", ["http://127.0.0.1/x", "ftp://127.0.0.1/x"])
def test_a_redirect_never_leaves_https(location):
    actions = run([Begin(), Response(302, {"location": location})], url="https://127.0.0.1/x")
    assert len(requests(actions)) == 1
    assert outcome(actions).image is None


@pytest.mark.parametrize("location", ["http://[::1", "http://h:port/x", "mailto:x"])
def test_a_redirect_to_no_address_is_a_failure(location):
    assert outcome(run([Begin(), Response(302, {"location": location})])).image is None


@pytest.mark.parametrize("url", ["http://[::1/x", "http://h:port/x", "http://"])
def test_an_url_that_is_no_address_is_tried_and_fails_in_the_skin(url):
    (request,) = requests(run([Begin()], url=url))
    assert request.url == url


def test_a_part_is_no_file():
    part_of_it = Response(206, {"content-length": "100", "content-range": f"bytes 0-99/{SIZE}"})
    assert outcome(run([Begin(), part_of_it])).image is None


def test_a_file_that_is_not_as_long_as_head_said_is_no_image():
    rules = DownloadRules(style=Style.HEAD_GET)
    assert outcome(run([Begin(), ok(SIZE + 1), ok(), Body(IMAGE), BodyEnd()], rules)).image is None


def test_parts_that_are_longer_than_the_file_are_no_image():
    rules = DownloadRules(style=Style.RANGE, range_bytes=500)
    longer = Response(206, {"content-length": "500", "content-range": "bytes 0-499/300"})
    assert outcome(run([Begin(), longer, Body(IMAGE[:500]), BodyEnd()], rules)).image is None


def test_head_get_asks_for_the_size_first():
    rules = DownloadRules(style=Style.HEAD_GET)
    actions = run([Begin(), ok(), ok(), Body(IMAGE), BodyEnd()], rules)
    assert [request.method for request in requests(actions)] == ["HEAD", "GET"]
    assert outcome(actions).image


def part(first, last, total=SIZE):
    return Response(206, {"content-length": str(last - first + 1), "content-range": f"bytes {first}-{last}/{total}"})


def test_range_asks_part_by_part():
    rules = DownloadRules(style=Style.RANGE, range_bytes=500)
    actions = run([Begin(), part(0, 499), Body(IMAGE[:500]), BodyEnd(), part(500, 799), Body(IMAGE[500:]), BodyEnd()], rules)
    assert [request.headers["Range"] for request in requests(actions)] == ["bytes=0-499", "bytes=500-999"]
    image = outcome(actions).image
    assert image is not None
    assert image.sha256 == hashlib.sha256(IMAGE).hexdigest()


def test_range_takes_a_whole_answer_for_the_first_part():
    actions = run([Begin(), ok(), Body(IMAGE), BodyEnd()], DownloadRules(style=Style.RANGE))
    assert outcome(actions).image


@pytest.mark.parametrize("second", [part(0, 499), ok(), Response(401, {}), Response(416, {}), Failed("cut")])
def test_range_refuses_a_second_answer_that_is_not_the_next_part(second):
    rules = DownloadRules(style=Style.RANGE, range_bytes=500)
    actions = run([Begin(), part(0, 499), Body(IMAGE[:500]), BodyEnd(), second], rules)
    assert outcome(actions).image is None


def test_a_file_that_grows_beyond_the_area_is_given_up():
    rules = DownloadRules(size_bytes_max=100)
    actions = run([Begin(), Response(200, {"transfer-encoding": "chunked"}), Body(IMAGE)], rules)
    assert outcome(actions).image is None


EVENTS = [Begin(), Response(200, {}), Body(b"x"), BodyEnd(), Failed("x"), Waited()]
MISSING = [(phase, event) for phase in Phase for event in EVENTS if (phase, type(event)) not in downloader._HANDLERS]


@pytest.mark.parametrize(("phase", "event"), MISSING, ids=lambda value: getattr(value, "name", type(value).__name__))
def test_a_pair_that_is_not_in_the_table_is_refused(phase, event):
    download = Download(DownloadRules(), url=URL, token="t")
    download.phase = phase
    with pytest.raises(ValueError, match=phase.name):
        download.feed(event)


@given(st.binary(min_size=1, max_size=300), st.lists(st.integers(1, 50), max_size=20), st.integers(-3, 3))
def test_an_image_is_exactly_what_was_announced_and_sent(content, sizes, announced_more):
    announced = max(0, len(content) + announced_more)
    chunks, rest = [], content
    for size in [*sizes, len(content)]:
        chunks.append(rest[:size])
        rest = rest[size:]
    actions = run([Begin(), ok(announced), *[Body(chunk) for chunk in chunks if chunk], BodyEnd()])
    image = outcome(actions).image
    assert (image is not None) == (announced_more == 0)
    assert b"".join(action.data for action in actions if isinstance(action, Write)) == content


def test_a_personality_replaces_one_decision():
    rules = replace(DownloadRules(), accepts=lambda status: True)
    assert outcome(run([Begin(), Response(404, {"content-length": "800"}), Body(IMAGE), BodyEnd()], rules)).image
