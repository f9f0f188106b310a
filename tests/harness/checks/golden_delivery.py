"""Golden stories of what arrives at a device, and who may listen."""

DATA = {"a": 1}


def watched(happens):
    def story_of(story):
        story.watching()
        happens(story)

    return story_of


def watched_on(command, happens):
    """The device was not granted the wildcard, but one command's topic."""

    def story_of(story):
        story.says("watching", device_id=story.dev, topics=[f"{story.dev}/control/{command}"])
        happens(story)

    return story_of


def sent(*args, **more):
    return lambda story: story.sent(*args, **more)


def lost(story):
    story.command(data=DATA)


def lost_while_hung_up_on(story):
    story.command(data=DATA)
    story.closed()


def on(topic, payload=DATA, **more):
    """A command that comes on another topic than its own."""

    def happens(story):
        story.command(data=DATA)
        device = more.pop("at", story.dev)
        story.comes(topic.format(dev=story.dev, other=story.other), payload, device=device, **more)

    return happens


def own_echo(story):
    story.command(data=DATA)
    story.comes(f"{story.dev}/control/configuration", DATA)
    story.publishes(f"{story.dev}/control/configuration/result", '{"a":1}')
    story.comes(f"{story.dev}/control/configuration/result", '{"a":1}')


def at_the_other_device(story):
    story.watching()
    story.sent(data=DATA)
    story.comes(f"{story.other}/control/configuration", DATA, device=story.other)


def another_key_than_was_asked_for(story):
    story.offer(1)
    story.comes(f"{story.dev}/control/download_firmware", {"url": "https://h/v2/device/download?key=<key:2>", "expires_at": "x"})


def two_offers_that_come_twice_each(story):
    for _ in range(2):
        story.command("download_firmware", {"file_name": "fw.bin"})
    for key in (1, 1, 2, 2):
        payload = {"url": f"https://h/v2/device/download?key=<key:{key}>", "expires_at": "2023-11-14T22:43:22Z"}
        story.comes(f"{story.dev}/control/download_firmware", payload)


def in_two_scenarios(story):
    story.command("reset", status=403)
    story.scope = "another"
    story.comes(f"{story.dev}/control/reset", {})


def several_for_one_refusal(story):
    story.command("reset", status=403)
    story.comes(f"{story.dev}/control/reset", {})
    story.comes(f"{story.dev}/control/reset", {"again": 1})


def data_that_came_before(story):
    story.comes(f"{story.dev}/control/configuration", DATA)
    story.command("+", DATA, 400)


def silence_after_connect(story):
    story.packet("CONNECT", "client", client_id=story.dev, username=story.dev, password="wrong")


def with_qos(qos, granted=2):
    def happens(story):
        story.login()
        story.subscribes(f"{story.dev}/control/+", granted)
        story.command(data=DATA)
        story.comes(f"{story.dev}/control/configuration", DATA, qos=qos)

    return happens


def resumed_with_qos(qos):
    def happens(story):
        story.login()
        story.subscribes(f"{story.dev}/control/+", 2)
        story.packet("CONNACK", connection=2, return_codes=(0,), session_present=True)
        story.command(data=DATA)
        story.comes(f"{story.dev}/control/configuration", DATA, qos=qos, connection=2)

    return happens


def cut_off(*again):
    """An exchange is cut off after PUBREC; the resumed session brings these packets, each a type, an id, and DUP."""

    def happens(story):
        story.login()
        story.packet("PUBLISH", packet_id=4, qos=2, dup=False)
        story.packet("PUBREC", "client", packet_id=4)
        story.closed("us")
        story.packet("CONNACK", connection=2, return_codes=(0,), session_present=True)
        for kind, packet_id, dup in again:
            story.packet(kind, connection=2, packet_id=packet_id, qos=2, dup=dup)

    return happens


def cut_off_beside_a_result_of_the_same_id(story):
    story.login()
    story.packet("PUBLISH", packet_id=4, qos=2, dup=False)
    story.packet("PUBCOMP", packet_id=4)  # for what the device published itself
    story.packet("CONNACK", connection=2, return_codes=(0,), session_present=True)
    story.packet("PUBLISH", connection=2, packet_id=5, qos=2, dup=False)


def finished_before_the_cut(story):
    story.login()
    story.packet("PUBLISH", packet_id=4, qos=2, dup=False)
    story.packet("PUBCOMP", "client", packet_id=4)
    story.packet("CONNACK", connection=2, return_codes=(0,), session_present=True)
    story.packet("PUBLISH", connection=2, packet_id=5, qos=2, dup=False)


def resumed(*, arrives):
    def happens(story):
        story.says("session kept", device_id=story.dev)
        story.command(data=DATA)
        if arrives:
            story.comes(f"{story.dev}/control/configuration", DATA)

    return happens


def lost_between_two_sessions(story):
    story.says("session kept", device_id=story.dev)
    story.command(data=DATA)
    story.says("session kept", device_id=story.dev)
    story.sent(data={"b": 2})


def emptied(story):
    """The second of two messages, sent fast, has lost its data on the way: it is no copy of the first, nor of another device's."""
    story.sent("send_configuration", {}, device=story.other)
    asked = [story.ask_command(data, command="send_configuration") for data in ({}, {"keys": ["a"]})]
    for number in asked:
        story.answer(number, 200, story.success)
    for _ in asked:
        story.comes(f"{story.dev}/control/send_configuration", {})


def two_equal_sends_doubled(story):
    story.sent(data=DATA)
    story.sent(data=DATA, times=2)


def two_equal_sends(story):
    story.sent(data=DATA)
    story.sent(data=DATA)


def offer_that_comes_twice(story):
    story.offer(times=2)


def retained(story):
    story.comes(f"{story.dev}/control/configuration", DATA, retain=True)


def own_retained(story):
    story.publishes(f"{story.dev}/state", '{"on":1}')
    story.comes(f"{story.dev}/state", '{"on":1}', retain=True)


def arrives_as(payload, data=DATA):
    def happens(story):
        story.command(data=data)
        story.comes(f"{story.dev}/control/configuration", payload)

    return happens


def named(name, status, topic=None):
    def happens(story):
        story.command(name, DATA, status, closed_by="" if status else "peer")
        if topic is not None:
            story.comes(topic.format(dev=story.dev, other=story.other), DATA, device=story.other if "{other}" in topic else story.dev)

    return happens


def wildcard_on_the_wire(story):
    story.command("+", DATA, 400)
    story.malformed("MQTT-4.7.1-1")


def unrelated_malformed_bytes(story):
    story.command("+", DATA, 400)
    story.malformed("MQTT-2.2.2-2", "a reserved flag is set")


def offline(*, late, retain=False):
    def happens(story):
        story.says("offline with a clean session", device_id=story.dev)
        story.command(data=DATA)
        if late:
            story.comes(f"{story.dev}/control/configuration", DATA, retain=retain)

    return happens


def in_order(first, second, *, reverse):
    def happens(story):
        for number, command in enumerate((first, second)):
            story.command(command, {"n": number})
        numbers = [(0, first), (1, second)]
        for number, command in reversed(numbers) if reverse else numbers:
            story.comes(f"{story.dev}/control/{command}", {"n": number})

    return happens


def side_by_side_in_any_order(story):
    one = story.ask_command({"n": 0})
    two = story.ask_command({"n": 1})
    for number in (one, two):
        story.answer(number, 200, story.success)
    for number in (1, 0):
        story.comes(f"{story.dev}/control/configuration", {"n": number})


def logins(*codes, password="<token:nobody>"):
    def happens(story):
        for number, code in enumerate(codes, 1):
            story.login(code, password=password, connection=number)

    return happens


def banned(story):
    story.login(0)
    story.login(5, password="wrong", connection=2)
    story.login(5, connection=3)


def login_of_nobody(story):
    story.login(0, device=story.nobody, password="x")


def login_under_another_name(story):
    story.packet("CONNECT", "client", client_id=story.other, username=story.dev, password=f"<token:{story.dev}>")
    story.packet("CONNACK", return_codes=(0,), session_present=False)


def no_name(story):
    story.packet("CONNECT", "client", client_id=story.dev)
    story.packet("CONNACK", return_codes=(0,), session_present=False)


def no_password(story):
    story.packet("CONNECT", "client", client_id=story.dev, username=story.dev)
    story.packet("CONNACK", return_codes=(0,), session_present=False)


def reaches_out(*, overhears=False, forges=False):
    def happens(story):
        story.says("reaching out", device_id=story.dev, victim_id=story.other)
        story.command(data=DATA, device=story.other)
        topic = f"{story.other}/control/configuration"
        story.comes(topic, DATA, device=story.other)
        if overhears:
            story.comes(topic, DATA, device=story.dev)
        if forges:
            story.publishes(topic, '{"forged":1}')
            story.comes(topic, '{"forged":1}', device=story.other)

    return happens


def grant(name, code, qos=2):
    return lambda story: story.subscribes(name.format(dev=story.dev, other=story.other), code, qos=qos)


def suback_that_never_came(story):
    story.packet("SUBSCRIBE", "client", packet_id=3, filters=((f"{story.dev}/control/reboot", 2),))


def result(end, qos=2):
    def happens(story):
        story.publishes(f"{story.dev}/control/blink_led/result", qos=qos)
        if end.startswith("completed"):
            story.packet("PUBCOMP" if qos == 2 else "PUBACK", packet_id=9)
        if end.endswith("closed"):
            story.closed()

    return happens


GOLDEN = [
    ("accepted_command_reaches_its_device", "pass", watched(sent(data=DATA))),
    ("accepted_command_reaches_its_device", "fail", watched(lost)),
    ("accepted_command_reaches_its_device", "fail", watched_on("configuration", lost)),
    ("accepted_command_reaches_its_device", "inconclusive", watched_on("reboot", lost)),
    ("accepted_command_reaches_its_device", "inconclusive", lost),
    ("accepted_command_reaches_its_device", "inconclusive", watched(lost_while_hung_up_on)),
    ("accepted_command_reaches_its_device", "inconclusive", watched(on("{dev}/control/reset"))),
    ("command_arrives_on_no_other_topic", "pass", watched(sent(data=DATA))),
    ("command_arrives_on_no_other_topic", "pass", watched(own_echo)),
    ("command_arrives_on_no_other_topic", "fail", on("{dev}/control/reset")),
    ("command_arrives_on_no_other_topic", "fail", on("{dev}/commands")),
    ("command_arrives_on_no_other_topic", "fail", at_the_other_device),
    ("command_arrives_on_no_other_topic", "inconclusive", on("{dev}/welcome", {"hello": True})),
    # Another device's topic at this device is what it subscribed to itself: CMD-23 speaks of that.
    ("command_arrives_on_no_other_topic", "inconclusive", on("{other}/control/configuration")),
    ("command_arrives_on_no_other_topic", "inconclusive", named("reset", 400, "{dev}/control/reset")),
    ("command_arrives_on_no_other_topic", "inconclusive", named("a/b", 200, "{dev}/control/a")),
    ("command_arrives_on_no_other_topic", "fail", another_key_than_was_asked_for),
    ("command_arrives_on_no_other_topic", "inconclusive", watched(lost)),
    ("command_arrives_on_no_other_topic", "fail", in_two_scenarios),
    ("command_arrives_on_no_other_topic", "inconclusive", several_for_one_refusal),
    ("command_is_published_with_qos_2", "inconclusive", own_echo),
    ("command_arrives_exactly_once", "inconclusive", lost),
    ("command_name_stays_in_its_topic", "pass", data_that_came_before),
    ("clean_session_gets_nothing_later", "inconclusive", lambda story: story.says("offline with a clean session", device_id=story.dev)),
    ("commands_arrive_in_order", "inconclusive", two_equal_sends),
    ("commands_arrive_in_order", "inconclusive", sent(data=DATA, times=2)),
    ("wrong_token_is_refused_at_connect", "inconclusive", silence_after_connect),
    ("device_may_publish_its_result", "inconclusive", lambda story: story.publishes(f"{story.dev}/telemetry")),
    ("command_is_published_with_qos_2", "pass", with_qos(2)),
    ("command_is_published_with_qos_2", "fail", with_qos(1)),
    ("command_is_published_with_qos_2", "fail", resumed_with_qos(0)),
    ("command_is_published_with_qos_2", "inconclusive", with_qos(1, granted=1)),
    ("command_arrives_exactly_once", "pass", sent(data=DATA)),
    ("command_arrives_exactly_once", "pass", two_equal_sends),
    ("command_arrives_exactly_once", "fail", sent(data=DATA, times=2)),
    ("command_arrives_exactly_once", "fail", two_equal_sends_doubled),
    ("command_arrives_exactly_once", "fail", offer_that_comes_twice),
    ("command_arrives_exactly_once", "fail", two_offers_that_come_twice_each),
    ("every_download_command_has_its_own_key", "pass", two_offers_that_come_twice_each),
    ("command_arrives_exactly_once", "pass", resumed(arrives=True)),
    ("command_arrives_exactly_once", "fail", resumed(arrives=False)),
    ("command_arrives_exactly_once", "fail", lost_between_two_sessions),
    ("command_arrives_exactly_once", "pass", emptied),
    ("cut_exchange_is_taken_up_again", "pass", cut_off(("PUBREL", 4, None), ("PUBLISH", 5, False))),
    ("cut_exchange_is_taken_up_again", "pass", cut_off(("PUBLISH", 4, True))),
    ("cut_exchange_is_taken_up_again", "fail", cut_off(("PUBLISH", 4, False))),
    ("cut_exchange_is_taken_up_again", "fail", cut_off(("PUBLISH", 5, False))),
    ("cut_exchange_is_taken_up_again", "fail", cut_off_beside_a_result_of_the_same_id),
    ("cut_exchange_is_taken_up_again", "inconclusive", cut_off()),
    ("cut_exchange_is_taken_up_again", "inconclusive", finished_before_the_cut),
    ("payload_carries_the_data", "fail", emptied),
    ("command_is_not_retained", "pass", sent(data=DATA)),
    ("command_is_not_retained", "fail", retained),
    ("command_is_not_retained", "inconclusive", own_retained),
    ("payload_carries_the_data", "pass", arrives_as({"a": 1})),
    ("payload_carries_the_data", "pass", arrives_as({"command": "configuration", "data": {"a": 1}})),
    ("payload_carries_the_data", "fail", arrives_as({"a": True})),
    ("payload_carries_the_data", "fail", arrives_as("{'a': 1}")),
    ("payload_carries_the_data", "fail", arrives_as({"a": [1, 3]}, {"a": [1, 2]})),
    ("payload_carries_the_data", "inconclusive", offer_that_comes_twice),
    ("payload_is_the_data_itself", "pass", arrives_as({"a": 1.0})),
    ("payload_is_the_data_itself", "deviation", arrives_as({"data": {"a": 1}})),
    ("payload_is_the_data_itself", "inconclusive", arrives_as({"b": 1})),
    ("payload_is_the_data_itself", "fail", lambda story: (story.declare("CMD-05", "data"), arrives_as({"data": {"a": 1}})(story))),
    ("command_name_stays_in_its_topic", "pass", named("a/b", 400)),
    ("command_name_stays_in_its_topic", "deviation", named("$SYS", 403)),
    ("command_name_stays_in_its_topic", "warning", named("a/b", 200)),
    ("command_name_stays_in_its_topic", "warning", named("a/b", 200, "{dev}/control/a/b")),
    ("command_name_stays_in_its_topic", "warning", named("+", 500)),
    ("command_name_stays_in_its_topic", "warning", named("+", None)),
    ("command_name_stays_in_its_topic", "fail", named("+", 200, "{dev}/control/+")),
    ("command_name_stays_in_its_topic", "fail", named("../x", 200, "{other}/control/x")),
    ("command_name_stays_in_its_topic", "fail", wildcard_on_the_wire),
    ("command_name_stays_in_its_topic", "pass", unrelated_malformed_bytes),
    ("clean_session_gets_nothing_later", "pass", offline(late=False)),
    ("clean_session_gets_nothing_later", "fail", offline(late=True)),
    ("clean_session_gets_nothing_later", "pass", offline(late=True, retain=True)),
    ("commands_arrive_in_order", "pass", in_order("configuration", "configuration", reverse=False)),
    ("commands_arrive_in_order", "fail", in_order("configuration", "configuration", reverse=True)),
    ("commands_arrive_in_order", "pass", in_order("configuration", "reset", reverse=False)),
    ("commands_arrive_in_order", "warning", in_order("configuration", "reset", reverse=True)),
    ("commands_arrive_in_order", "inconclusive", side_by_side_in_any_order),
    ("wrong_token_is_refused_at_connect", "pass", logins(5)),
    ("wrong_token_is_refused_at_connect", "pass", logins(None)),
    ("wrong_token_is_refused_at_connect", "fail", logins(0)),
    ("wrong_token_is_refused_at_connect", "fail", logins(5, password=None)),
    ("wrong_token_is_refused_at_connect", "fail", no_password),
    ("wrong_token_is_refused_at_connect", "fail", no_name),
    ("wrong_token_is_refused_at_connect", "pass", banned),
    ("wrong_token_is_refused_at_connect", "inconclusive", login_of_nobody),
    ("wrong_token_is_refused_at_connect", "inconclusive", login_under_another_name),
    ("wrong_token_is_refused_at_connect", "inconclusive", logins(0, password=None)),
    ("device_reaches_its_own_topics_only", "pass", reaches_out()),
    ("device_reaches_its_own_topics_only", "warning", reaches_out(overhears=True)),
    ("device_reaches_its_own_topics_only", "warning", reaches_out(forges=True)),
    ("device_reaches_its_own_topics_only", "fail", lambda story: (setattr(story, "hardening", "must"), reaches_out(forges=True)(story))),
    ("qos_2_is_granted", "pass", grant("{dev}/control/reboot", 2)),
    ("qos_2_is_granted", "fail", grant("{dev}/control/reboot", 1)),
    ("qos_2_is_granted", "deviation", grant("{dev}/control/+", 0x80)),
    ("qos_2_is_granted", "deviation", grant("{dev}/control/#", 1)),
    ("qos_2_is_granted", "inconclusive", grant("{other}/control/reboot", 0x80)),
    ("qos_2_is_granted", "inconclusive", grant("{dev}/control/reboot", 1, qos=1)),
    ("qos_2_is_granted", "inconclusive", suback_that_never_came),
    ("device_may_publish_its_result", "pass", result("completed")),
    ("device_may_publish_its_result", "pass", result("completed", qos=1)),
    ("device_may_publish_its_result", "fail", result("closed")),
    ("device_may_publish_its_result", "fail", result("completed, then closed")),
    ("device_may_publish_its_result", "fail", result("silence")),
    ("device_may_publish_its_result", "inconclusive", result("silence", qos=0)),
]
