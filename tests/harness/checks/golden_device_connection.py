"""Golden stories of a device's connection: logging in, staying, coming back."""

from tests.harness.checks.device_stories import DEV, TOKEN, GoldenStories

A = {"rate": 1, "low": 2}

GOLDEN = GoldenStories()
golden, both = GOLDEN.golden, GOLDEN.both


@both("device_subscribes_to_its_own_topics")
def subscribed(story, wrong):
    story.subscribes(("#", 2) if wrong else (f"{DEV}/control/+", 2), (DEV, 0))


@both("device_subscribes_to_its_own_topics")
def subscribed_to_some(story, wrong):
    story.connects()
    declared = [name for name in story.declares["commands"] if not wrong or name != "reset"]
    story.subscribes(*((f"{DEV}/control/{name}", 2) for name in declared))


@golden("device_subscribes_to_its_own_topics", "fail")
def never_subscribed(story):
    story.connects()


@golden("device_subscribes_to_its_own_topics", "inconclusive")
def lost_before_it_could_subscribe(story):
    story.connects()
    story.lost()


@golden("device_asks_for_qos_2", "pass")
def result_topic_with_less(story):
    story.subscribes((f"{DEV}/control/+", 2), (f"{DEV}/control/+/result", 0))


@both("device_asks_for_qos_2")
def asked_for_qos(story, wrong):
    story.subscribes((f"{DEV}/control/+", 1 if wrong else 2))


@both("device_logs_in_with_its_token")
def logged_in(story, wrong):
    story.connects(password="secret" if wrong else TOKEN)


@golden("device_logs_in_with_its_token", "fail")
def logged_in_as_somebody(story):
    story.connects(username="admin")


@both("declared_session_is_kept")
def kept_session(story, wrong):
    story.connects(clean=wrong)


@both("slow_download_keeps_the_connection")
def slow(story, wrong):
    story.connects()
    exchange = story.asks_for_a_slow_one()
    for _ in range(2 if wrong else 4):
        story.wait(8 if wrong else 3)
        story.packet("client", "PINGREQ")
    story.gets(exchange=exchange)


@golden("slow_download_keeps_the_connection", "fail")
def slow_and_lost(story):
    story.connects()
    exchange = story.asks_for_a_slow_one()
    story.wait(8)
    story.lost(by="us")
    story.wait(7)
    story.gets(exchange=exchange)


@golden("slow_download_keeps_the_connection", "inconclusive")
def silence_in_which_our_own_broker_stood_still(story):
    story.connects()
    exchange = story.asks_for_a_slow_one()
    story.wait(30)
    story.packet("client", "PINGREQ")
    story.gets(exchange=exchange)


@both("slow_download_keeps_the_connection")
def slow_and_given_up_by_the_device(story, wrong):
    story.connects()
    exchange = story.asks_for_a_slow_one()
    for _ in range(3):
        story.wait(7 if wrong else 2)
        story.packet("client", "PINGREQ")
    story.gets(exchange=exchange, sent_bytes=40, complete=False)
    story.failed()


@golden("slow_download_keeps_the_connection", "inconclusive")
def given_up_before_the_keep_alive_is_over(story):
    story.connects()
    exchange = story.asks_for_a_slow_one()
    story.wait(2)
    story.gets(exchange=exchange, sent_bytes=40, complete=False)
    story.failed()


@golden("slow_download_keeps_the_connection", "pass")
def silence_in_which_other_scenarios_ran(story):
    story.packet("client", "PINGREQ", scope="")
    story.wait(60)
    story.says("download spoilt", kind="trickle")
    offer = {"url": "http://h/v2/device/download?key=<key:1>", "expires_at": "2026-01-01T00:00:00Z"}
    story.sent("download_firmware", offer)
    exchange = story.asks()
    story.received()
    for _ in range(3):
        story.wait(3)
        story.packet("client", "PINGREQ")
    story.gets(exchange=exchange)


@golden("slow_download_keeps_the_connection", "pass")
def slow_and_back(story):
    slow_and_lost(story)
    story.connects(present=True)


@both("commands_are_answered_during_a_download", "warning")
def asked_meanwhile(story, wrong):
    exchange = story.asks_for_a_slow_one()
    story.command("send_configuration", packet_id=9)
    story.wait(13 if wrong else 0)
    story.result("send_configuration", configuration=A)
    story.wait(0 if wrong else 13)
    story.gets(exchange=exchange)


@both("commands_are_answered_during_a_download", "warning")
def configured_meanwhile(story, wrong):
    """Who is busy may refuse; who says that it is done must have done it."""
    exchange = story.asks_for_a_slow_one()
    story.configured(A, packet_id=9)
    story.result("configuration", success=wrong)
    story.reports({})
    story.wait(13)
    story.gets(exchange=exchange)


@both("device_comes_back")
def back_by_itself_or_started_again(story, wrong):
    story.boots()
    story.says("connection lost", how="a lost network connection")
    story.lost()
    story.exits(3 if wrong else 0)
    story.boots()
    story.connects(present=True)
    story.configured(A)


@both("device_comes_back")
def came_back(story, wrong):
    story.says("connection lost", how="a restart of the broker")
    story.connects()
    if not wrong:
        story.subscribes((f"{DEV}/control/+", 2))
        story.configured(A)


@golden("device_comes_back", "fail")
def came_back_deaf(story):
    story.says("connection lost", how="a lost network connection")
    story.connects(present=True)
    story.sent("configuration", A)


@both("device_comes_back")
def came_back_and_heard_all_or_some(story, wrong):
    everything = _control_topics(story)
    story.connects()
    story.subscribes(*everything)
    story.says("connection lost", how="a restart of the broker")
    story.lost()
    story.connects()
    story.subscribes(*(everything[:-1] if wrong else everything))
    story.configured(A)


@golden("device_comes_back", "pass")
def hears_what_it_heard_before(story):
    """What it never subscribed to is DEV-01's business."""
    some = _control_topics(story)[:-1]
    story.connects()
    story.subscribes(*some)
    story.says("connection lost", how="a restart of the broker")
    story.lost()
    story.connects()
    story.subscribes(*some)
    story.configured(A)


def _control_topics(story):
    """A subscription for each declared command, that of the configuration first."""
    names = sorted(story.declares["commands"], key=lambda name: name != "configuration")
    return [(f"{DEV}/control/{name}", 2) for name in names]


@golden("device_subscribes_to_its_own_topics", "inconclusive")
def came_back_without_subscribing(story):
    """That is DEV-20's business."""
    story.says("connection lost", how="a restart of the broker")
    story.connects()


@golden("device_subscribes_to_its_own_topics", "fail")
def subscribed_to_others_when_it_came_back(story):
    story.says("connection lost", how="a restart of the broker")
    story.connects()
    story.subscribes(("#", 2))


def refused_connects(story, *waits_s):
    story.says("connection lost", how="refused connects", is_refused=True)
    story.connects(code=3)
    for wait_s in waits_s:
        story.wait(wait_s)
        story.connects(code=3)


@both("reconnects_back_off", "warning")
def backed_off(story, wrong):
    refused_connects(story, *((1, 1, 1) if wrong else (1, 2, 4)))


@golden("reconnects_back_off", "pass")
def waits_at_their_limit_drawn_by_chance(story):
    refused_connects(story, 3.3, 2.96, 3.5)


@golden("reconnects_back_off", "warning")
def hammering_with_uneven_waits(story):
    refused_connects(story, 0.05, 0.1, 0.02, 0.05)


@golden("reconnects_back_off", "warning")
def hammering_by_chance(story):
    refused_connects(story, 0.3, 0.1, 0.2)


@both("reconnects_are_scattered", "warning")
def scattered(story, wrong):
    refused_connects(story, 1, 2, 4)
    refused_connects(story, *((1, 2, 4) if wrong else (1.3, 2.5, 4.4)))
