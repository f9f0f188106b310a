"""The HTTP driver sends what it is told, keeps to the target's limits, and tells a ban from an answer."""

import asyncio
import re

import pytest
from aiohttp import web

from harness.bench.http_driver import HttpDriver
from harness.bench.pace import Pace
from harness.bench.target import ApiKeys, HttpOptions, Limits, Platform
from harness.clock import SystemClock
from harness.errors import TargetUnavailable
from harness.history.events import HttpEnded, HttpRequest, HttpResponse
from harness.history.recorder import Recorder
from harness.operations import Call

W3C_TRACEPARENT = re.compile("00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]")
BODY = bytes(range(256)) * 4_000


class Server:
    """Answers by the path, and keeps what it was asked."""

    def __init__(self):
        self.asked = []
        self.headers = []
        self.answers_nothing = False

    async def answer(self, request):
        self.asked.append(request.raw_path)
        self.headers.append(dict(request.headers))
        if self.answers_nothing:
            await asyncio.Event().wait()
        match request.path:
            case "/banned":
                return web.Response(status=429, headers={"Retry-After": "3600"}, text="{}")
            case "/busy":
                return web.Response(status=503, headers={"Retry-After": "3600"})
            case "/down":
                return web.Response(status=503)
            case path if path.startswith("/gateway/"):
                return web.Response(status=502, text="<h1>Bad Gateway</h1>")
            case "/hangs":
                await asyncio.Event().wait()
            case "/file":
                return web.Response(body=BODY, headers={"Content-Disposition": "attachment"})
            case "/hang-up":
                request.transport.abort()
                return web.Response()
            case "/elsewhere":
                return web.Response(status=302, headers={"Location": "/file"})
            case _:
                return web.json_response({"ok": True})


def driven(use, **limits):
    """Runs `use(driver, server)` against a server on this machine; returns its outcome and the history."""

    async def run():
        server = Server()
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", server.answer)
        runner = web.AppRunner(app, shutdown_timeout=0.1)  # Handlers that hang are not waited for.
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        platform = Platform(name="p", api_url=url, mqtt_url="mqtt://127.0.0.1:1", api_keys=ApiKeys(full="k"), limits=Limits(**limits))
        recorder = Recorder(SystemClock())
        try:
            async with HttpDriver(platform, recorder) as driver:
                return await use(driver, server), recorder.history()
        finally:
            await runner.cleanup()

    return asyncio.run(run())


def get(path, **more):
    return Call("GET", path, "other", **more)


def calling(*calls):
    async def use(driver, server):
        return [await driver.call(call) for call in calls]

    return use


def test_an_answer_comes_back_and_stands_in_the_history():
    (answer,), history = driven(calling(get("/a?b=%2F&c")))
    assert (answer.status, answer.json, answer.complete, answer.problem) == (200, {"ok": True}, True, "")
    (exchange,) = history.exchanges
    assert (exchange.status, exchange.body_json, exchange.request.url.partition("/a")[2]) == (200, {"ok": True}, "?b=%2F&c")


def test_the_path_goes_out_as_it_stands():
    async def use(driver, server):
        await driver.call(get("/a%2Fb?key=%2d%00&key="))
        return server.asked

    assert driven(use)[0] == ["/a%2Fb?key=%2d%00&key="]


def test_every_call_has_a_trace_of_its_own_that_the_history_knows():
    async def use(driver, server):
        await driver.call(get("/a"))
        await driver.call(get("/b"))
        return [headers["traceparent"] for headers in server.headers]

    traces, history = driven(use)
    assert len(set(traces)) == 2
    assert all(W3C_TRACEPARENT.fullmatch(trace) and int(trace[3:35], 16) and int(trace[36:52], 16) for trace in traces)
    assert [dict(seen.fact.headers)["traceparent"] for seen in history.of(HttpRequest)] == traces


def test_two_runs_do_not_share_their_traces():
    async def use(driver, server):
        await driver.call(get("/a"))
        return server.headers[0]["traceparent"]

    assert driven(use)[0] != driven(use)[0]


@pytest.mark.parametrize("path", ["/banned", "/busy"])
def test_a_ban_is_no_answer_and_nothing_more_is_sent_while_it_lasts(path):
    async def use(driver, server):
        problems = []
        for call in (get(path), get("/a")):
            try:
                await driver.call(call)
            except TargetUnavailable as error:
                problems.append(str(error))
        return problems, server.asked

    (problems, asked), history = driven(use)
    assert asked == [path]
    assert "Retry-After: 3600" in problems[0]
    assert "bans us" in problems[1]
    assert all("\n" not in problem for problem in problems)
    assert len(list(history.of(HttpEnded))) == 1


def test_a_503_that_names_no_time_is_an_answer():
    (answer,), _ = driven(calling(get("/down")))
    assert answer.status == 503


def test_a_gateway_that_answers_alone_is_no_answer():
    async def use(driver, server):
        driver._platform = driver._platform.model_copy(update={"api_url": driver._platform.api_url + "/gateway"})
        with pytest.raises(TargetUnavailable, match="502, and 502 to a bare list"):
            await driver.call(get("/a"))

    _, history = driven(use)
    assert [seen.fact.complete for seen in history.of(HttpEnded)] == [True]


def test_a_target_that_cannot_be_reached_is_unavailable():
    async def use(driver, server):
        driver._platform = driver._platform.model_copy(update={"api_url": "http://127.0.0.1:1"})
        with pytest.raises(TargetUnavailable, match="no connection"):
            await driver.call(get("/a"))

    _, history = driven(use)
    assert [seen.fact.closed_by for seen in history.of(HttpEnded)] == [""]


def test_a_url_on_another_host_is_called_there_without_the_headers_of_our_gateway():
    async def use(driver, server):
        elsewhere = driver._platform.api_url
        behind = {"api_url": "http://127.0.0.1:1/api", "http": HttpOptions(headers={"X-Gate": "open"})}
        driver._platform = driver._platform.model_copy(update=behind)
        answer = await driver.call(get("/a", origin=elsewhere))
        (raced,) = await driver.volley((get("/b", origin=elsewhere),))
        return answer.json, raced.json, server.asked, [headers.get("X-Gate") for headers in server.headers]

    outcome, history = driven(use)
    assert outcome == ({"ok": True}, {"ok": True}, ["/a", "/b"], [None, None])
    assert not list(history.stimuli("nobody at the URL"))


@pytest.mark.parametrize("origin", ["http://127.0.0.1:1", "http://127.0.0.1:99999"])
@pytest.mark.parametrize(("path", "asked"), [("/v2/a", "/base/v2/a"), ("/base/v2/a", "/base/v2/a")])
def test_where_nobody_is_at_a_url_it_is_said_once_and_the_api_is_asked(origin, path, asked):
    async def use(driver, server):
        driver._platform = driver._platform.model_copy(update={"api_url": driver._platform.api_url + "/base"})
        answers = [await driver.call(get(path, origin=origin)) for _ in range(2)]
        return [answer.json for answer in answers], server.asked

    outcome, history = driven(use)
    assert outcome == ([{"ok": True}] * 2, [asked] * 2)
    assert [seen.fact.facts["origin"] for seen in history.stimuli("nobody at the URL")] == [origin]


def test_a_url_on_the_apis_own_host_is_called_as_it_stands():
    async def use(driver, server):
        origin = driver._platform.api_url
        driver._platform = driver._platform.model_copy(update={"api_url": origin + "/base"})
        await driver.call(get("/base/v2/a", origin=origin))
        return server.asked

    assert driven(use)[0] == ["/base/v2/a"]


def test_a_peer_that_hangs_up_is_an_outcome():
    (answer,), history = driven(calling(get("/hang-up")))
    assert answer.status is None
    assert [seen.fact.closed_by for seen in history.of(HttpEnded)] == ["peer"]


def test_a_request_that_is_cut_off_is_not_repeated():
    async def use(driver, server):
        await driver.call(get("/hang-up"))
        await driver.call(get("/hang-up", read_bytes_per_s=1_000.0))
        return server.asked

    assert driven(use)[0] == ["/hang-up"] * 2


def test_a_redirect_is_not_followed():
    (answer,), _ = driven(calling(get("/elsewhere")))
    assert answer.status == 302


def test_a_transfer_is_broken_off_at_the_byte_that_was_asked_for():
    (answer,), history = driven(calling(get("/file", abort_after_bytes=5_000, read_bytes_per_s=10_000_000.0)))
    assert (answer.status, len(answer.body), answer.complete) == (200, 5_000, False)
    assert [(seen.fact.received_bytes, seen.fact.closed_by) for seen in history.of(HttpEnded)] == [(5_000, "us")]


def test_a_transfer_may_be_broken_off_before_its_first_byte():
    (answer,), _ = driven(calling(get("/file", abort_after_bytes=0)))
    assert (answer.status, answer.body, answer.complete) == (200, b"", False)


def test_a_slow_transfer_comes_whole():
    (answer,), _ = driven(calling(get("/file", read_bytes_per_s=10_000_000.0)))
    assert answer.body == BODY


def test_a_transfer_with_a_pause_comes_whole_and_takes_the_pause_longer():
    paused = get("/file", read_bytes_per_s=10_000_000.0, pause_after_bytes=5_000, pause_s=0.2)
    (answer,), history = driven(calling(paused))
    (answered,), (ended,) = history.of(HttpResponse), history.of(HttpEnded)
    assert (answer.body, answer.complete, ended.at_s - answered.at_s >= 0.2) == (BODY, True, True)


def test_an_exchange_that_takes_too_long_is_ended_by_us():
    (answer,), history = driven(calling(get("/file", read_bytes_per_s=1_000.0, within_s=0.2)))
    assert not answer.complete
    assert [seen.fact.closed_by for seen in history.of(HttpEnded)] == ["us"]


def test_a_volley_is_answered_call_by_call():
    async def use(driver, server):
        return await driver.volley(tuple(get(f"/{number}") for number in range(8))), sorted(server.asked)

    (answers, asked), history = driven(use)
    assert ([answer.json for answer in answers], asked) == ([{"ok": True}] * 8, [f"/{number}" for number in range(8)])
    assert len(list(history.of(HttpResponse))) == 8


def test_a_volley_that_meets_a_ban_is_no_answer():
    async def use(driver, server):
        with pytest.raises(TargetUnavailable, match="429"):
            await driver.volley((get("/banned"), get("/banned")))

    driven(use)


def test_turns_are_spread_over_the_time_that_the_limit_asks_for():
    async def run():
        loop, pace, turns = asyncio.get_running_loop(), Pace(100.0), []
        start_s = loop.time()
        for _ in range(5):
            await pace.turn()
            turns.append(loop.time() - start_s)
        return turns

    turns = asyncio.run(run())
    assert all(turn >= number / 100.0 - 0.005 for number, turn in enumerate(turns))


def test_without_a_limit_nobody_waits():
    pace = Pace(None)
    for _ in range(2):
        with pytest.raises(StopIteration):  # the turn is over at its first step
            pace.turn().send(None)


def test_the_targets_limit_is_kept_by_a_volley_too():
    async def use(driver, server):
        loop = asyncio.get_running_loop()
        start_s = loop.time()
        await driver.volley(tuple(get(f"/{number}") for number in range(5)))
        return loop.time() - start_s

    assert driven(use, requests_per_s=50.0)[0] >= 4 / 50.0 - 0.005


def test_a_target_that_answers_nothing_is_unavailable_after_a_few_calls_and_at_once_from_then_on():
    async def use(driver, server):
        server.answers_nothing = True
        for _ in range(3):
            assert (await driver.call(get("/a", within_s=0.05))).status is None
        with pytest.raises(TargetUnavailable, match="answers nothing"):
            await driver.call(get("/a", within_s=0.05))
        asked = len(server.asked)
        with pytest.raises(TargetUnavailable, match="answers nothing"):
            await driver.call(get("/a"))
        with pytest.raises(TargetUnavailable, match="answers nothing"):
            await driver.volley((get("/a"),))
        assert len(server.asked) == asked

    driven(use)


def test_calls_that_alone_hang_do_not_make_the_target_unavailable():
    async def use(driver, server):
        hung = [await driver.call(get("/hangs", within_s=0.2)) for _ in range(9)]
        assert {answer.status for answer in hung} == {None}
        return await driver.call(get("/a"))

    answer, _ = driven(use)
    assert answer.status == 200
