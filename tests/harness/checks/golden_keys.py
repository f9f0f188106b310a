"""Golden stories of the lives of download keys."""

JUST_BEFORE_S, JUST_AFTER_S = 1_795, 1_805


def aged(seconds, status, **more):
    def happens(story):
        story.offer()
        story.move_clock(seconds)
        story.fetch(status=status, **more)

    return happens


def both_aged(before_s, after_s):
    """One key is used at one age, another tried at a later one."""

    def happens(story):
        story.offer()
        story.offer(2)
        story.move_clock(before_s)
        story.fetch()
        story.move_clock(after_s - before_s)
        story.fetch(2, status=401)

    return happens


def used_and_aged(story):
    story.offer()
    story.fetch()
    story.move_clock(JUST_AFTER_S)
    story.fetch(status=200)


def used_and_dead(status):
    def happens(story):
        story.offer()
        story.fetch()
        story.move_clock(JUST_AFTER_S)
        story.fetch(status=status)

    return happens


def another_key_works(happens):
    """The device's token is taken with another key."""

    def both(story):
        happens(story)
        story.offer(2)
        story.fetch(2)

    return both


def tried(*attempts):
    """A key and what is tried with it: statuses of its own device, or whole attempts."""

    def happens(story):
        story.offer()
        for attempt in attempts:
            if isinstance(attempt, dict):
                more = {name: getattr(story, value) if name == "device" else value for name, value in attempt.items()}
                story.fetch(**more)
            else:
                story.fetch(status=attempt)

    return happens


def foreign(status):
    return {"device": "other", "status": status}


def head(status=200):
    return {"method": "HEAD", "status": status}


def cut(status=200):
    return {"status": status, "complete": False, "received_bytes": 10, "closed_by": "us"}


def part(received_bytes, content_range="bytes 0-9/100"):
    headers = (("Content-Range", content_range),)
    return {"status": 206, "received_bytes": received_bytes, "answer_headers": headers, "extra": (("Range", "bytes=0-9"),)}


def unseen():
    return {"status": None, "complete": False, "closed_by": "us"}


def hung_up():
    return {"status": None, "complete": False, "closed_by": "peer"}


def nobody(status=401):
    return {"credential": "none", "authorization": "", "status": status}


def race(*statuses, whole=None):
    def happens(story):
        story.offer()
        path = "/v2/device/download?key=<key:1>"
        numbers = [story.ask("download", "GET", path, credential=f"token:{story.dev}", device_id=story.dev) for _ in statuses]
        for number, status in zip(numbers, statuses, strict=True):
            complete = status is not None and (whole is None or number in numbers[:whole])
            story.answer(number, status, received_bytes=100 if status == 200 else 0, complete=complete)

    return happens


def refused_and_deleted(story):
    story.offer()
    story.fetch(credential="none", authorization="", status=401)
    story.says("file deleted", name="fw.bin")
    story.fetch(status=404)


def offer_without_a_key(story):
    story.command("download_firmware", {"file_name": "fw.bin"})
    story.comes(f"{story.dev}/control/download_firmware", {"url": "https://h/v2/device/download", "expires_at": "x"})


def offer_of_no_url(story):
    story.command("download_firmware", {"file_name": "fw.bin"})
    story.comes(f"{story.dev}/control/download_firmware", {"url": "http://[h/v2/device/download?key=<key:1>", "expires_at": "x"})


def cut_and_raced_for(story):
    story.offer()
    story.fetch(complete=False, received_bytes=10, closed_by="us")
    path = "/v2/device/download?key=<key:1>"
    numbers = [story.ask("download", "GET", path, credential=f"token:{story.dev}", device_id=story.dev) for _ in range(2)]
    for number in numbers:
        story.answer(number, 401)


def used_and_raced_for(story):
    story.offer()
    story.fetch()
    path = "/v2/device/download?key=<key:1>"
    numbers = [story.ask("download", "GET", path, credential=f"token:{story.dev}", device_id=story.dev) for _ in range(2)]
    for number in numbers:
        story.answer(number, 401)


def declared(value, happens, requirement="KEY-08"):
    def declares(story):
        story.declare(requirement, value)
        happens(story)

    return declares


def survives_a_cut(happens):
    """The target is seen to follow complete-delivery."""

    def both(story):
        happens(story)
        story.scope = "another"
        story.offer(2)
        story.fetch(2, complete=False, received_bytes=10, closed_by="us")
        story.fetch(2)

    return both


def wrong_key(status, query="?key=<key:9>", how=None, **more):
    def happens(story):
        if how:
            story.says("trying a key", how=how)
        story.fetch(query=query, status=status, **more)

    return happens


def drawn(**facts):
    def happens(story):
        story.offer()
        story.secret(**facts)
        story.secret(key=9, length=3, bits=18.0)

    return happens


def sample(bits, recipe=""):
    return lambda story: story.says("sample of keys", size=200, length=32, bits=bits, fixed=12, distinct=200, recipe=recipe)


def shows(status=401, **more):
    """An answer after a key was issued."""

    def happens(story):
        story.offer()
        story.fetch(query="?key=<key:9>", status=status, **more)

    return happens


def shown_by_a_command(story):
    story.offer()
    story.command(status=403, answer={"message": f"<api-key:full> may not reach <token:{story.dev}>"})


LEAK = {"success": False, "message": "key <key:1> is used", "action": "x"}


def of_two_commands(*statuses):
    """Two commands bring one key, which is tried."""

    def happens(story):
        story.offer()
        story.offer()
        for status in statuses:
            story.fetch(status=status)

    return happens


GOLDEN = [
    ("key_works_once", "inconclusive", of_two_commands(200, 200)),
    ("unknown_key_is_refused", "inconclusive", of_two_commands(200)),
    ("key_is_bound_to_its_device", "fail", tried(200, foreign(200))),
    ("key_defects_are_answered_in_order", "inconclusive", tried(200, foreign(200))),
    ("key_lives_thirty_minutes", "pass", both_aged(JUST_BEFORE_S, JUST_AFTER_S)),
    ("key_lives_thirty_minutes", "inconclusive", both_aged(900, JUST_AFTER_S)),
    ("key_lives_thirty_minutes", "inconclusive", aged(JUST_BEFORE_S, 200)),
    ("key_lives_thirty_minutes", "fail", aged(JUST_BEFORE_S, 401)),
    ("key_lives_thirty_minutes", "inconclusive", aged(JUST_AFTER_S, 401)),
    ("key_lives_thirty_minutes", "fail", aged(JUST_AFTER_S, 200)),
    ("key_lives_thirty_minutes", "fail", aged(JUST_AFTER_S, 404)),
    ("key_lives_thirty_minutes", "fail", aged(JUST_AFTER_S, None, closed_by="peer")),
    ("key_lives_thirty_minutes", "inconclusive", aged(1_799, 401)),
    ("key_lives_thirty_minutes", "inconclusive", aged(JUST_AFTER_S, None, closed_by="us")),
    ("key_lives_thirty_minutes", "inconclusive", used_and_aged),
    ("key_lives_thirty_minutes", "inconclusive", tried(401)),
    ("fresh_key_is_accepted", "pass", tried(200)),
    ("fresh_key_is_accepted", "fail", another_key_works(tried(401))),
    ("fresh_key_is_accepted", "inconclusive", tried(401)),
    ("fresh_key_is_accepted", "inconclusive", tried(nobody(), 401)),
    ("fresh_key_is_accepted", "inconclusive", aged(JUST_BEFORE_S, 200)),
    ("key_works_once", "pass", tried(200, 401)),
    ("key_works_once", "fail", tried(200, 200)),
    ("key_works_once", "fail", tried(200, 404)),
    ("key_works_once", "fail", tried(200, hung_up())),
    ("key_works_once", "fail", tried(200, head())),
    ("key_works_once", "inconclusive", tried(200, head(401))),
    ("key_works_once", "inconclusive", tried(200, head(405))),
    ("key_works_once", "pass", used_and_dead(401)),
    ("key_works_once", "fail", used_and_dead(200)),
    ("key_works_once", "inconclusive", used_and_dead(404)),
    ("key_works_once", "fail", tried(200, part(10))),
    ("key_works_once", "pass", tried(200, part(0) | {"status": 416})),
    ("key_works_once", "inconclusive", tried(200, foreign(403))),
    ("key_works_once", "inconclusive", tried(head(), 200)),
    ("key_works_once", "inconclusive", tried(401, 401)),
    ("key_works_once", "inconclusive", offer_without_a_key),
    ("key_works_once", "inconclusive", offer_of_no_url),
    ("key_is_bound_to_its_device", "inconclusive", tried(nobody(), foreign(401))),
    ("key_is_used_as_declared", "inconclusive", cut_and_raced_for),
    ("key_works_once", "inconclusive", tried(200, unseen())),
    ("concurrent_uses_deliver_once", "pass", race(200, 401, 401)),
    ("concurrent_uses_deliver_once", "fail", race(200, 200, 401)),
    ("concurrent_uses_deliver_once", "fail", race(401, 401)),
    ("concurrent_uses_deliver_once", "fail", race(200, 409)),
    ("concurrent_uses_deliver_once", "fail", race(200, 200, whole=1)),
    ("concurrent_uses_deliver_once", "pass", declared("complete-delivery", race(200, 200, whole=1))),
    ("concurrent_uses_deliver_once", "pass", survives_a_cut(race(200, 200, whole=1))),
    ("concurrent_uses_deliver_once", "fail", declared("complete-delivery", race(200, 200))),
    ("concurrent_uses_deliver_once", "inconclusive", race(401, None)),
    ("concurrent_uses_deliver_once", "inconclusive", tried(200, 401)),
    ("concurrent_uses_deliver_once", "inconclusive", used_and_raced_for),
    ("key_is_bound_to_its_device", "pass", tried(foreign(403))),
    ("key_is_bound_to_its_device", "fail", tried(foreign(200))),
    ("key_is_bound_to_its_device", "fail", tried(foreign(401))),
    ("key_is_bound_to_its_device", "fail", tried(foreign(None) | {"complete": False, "closed_by": "peer"})),
    ("key_is_bound_to_its_device", "inconclusive", tried(200, foreign(401))),
    ("key_is_bound_to_its_device", "inconclusive", aged(JUST_AFTER_S, 401, credential="token:dddddddd-0000-4000-8000-000000000002")),
    ("refused_attempt_does_not_use_up_the_key", "pass", tried(foreign(403), 200)),
    ("refused_attempt_does_not_use_up_the_key", "pass", tried(head(), nobody(), 200)),
    ("refused_attempt_does_not_use_up_the_key", "warning", tried(head(), 401)),
    ("refused_attempt_does_not_use_up_the_key", "warning", tried(head(), hung_up())),
    ("refused_attempt_does_not_use_up_the_key", "warning", tried(nobody(), 404)),
    ("refused_attempt_does_not_use_up_the_key", "inconclusive", tried(foreign(200), 401)),
    ("refused_attempt_does_not_use_up_the_key", "inconclusive", tried(nobody(), unseen())),
    ("refused_attempt_does_not_use_up_the_key", "inconclusive", refused_and_deleted),
    ("unknown_key_is_refused", "pass", wrong_key(401)),
    ("unknown_key_is_refused", "deviation", wrong_key(400, "", "an absent")),
    ("unknown_key_is_refused", "pass", declared("400", wrong_key(400), "KEY-06")),
    ("unknown_key_is_refused", "fail", wrong_key(200, "?key=<key:9>", "a case-changed")),
    ("unknown_key_is_refused", "fail", wrong_key(500, "?key=")),
    ("unknown_key_is_refused", "fail", wrong_key(None, "?key=", closed_by="peer")),
    ("unknown_key_is_refused", "deviation", wrong_key(200, "?key=<key:1>&key=<key:1>", "a repeated")),
    ("unknown_key_is_refused", "inconclusive", wrong_key(401, credential="none")),
    ("unknown_key_is_refused", "inconclusive", wrong_key(None, closed_by="us")),
    ("key_is_hard_to_guess", "pass", drawn()),
    ("key_is_hard_to_guess", "warning", drawn(length=8, bits=48.0)),
    ("key_is_hard_to_guess", "warning", drawn(alphabet="other")),
    ("keys_are_unpredictable", "pass", sample(128)),
    ("keys_are_unpredictable", "warning", sample(40)),
    ("keys_are_unpredictable", "warning", sample(128, "the md5 of a counter")),
    ("key_is_used_as_declared", "pass", tried(cut(), 401)),
    ("key_is_used_as_declared", "deviation", tried(cut(), 200)),
    ("key_is_used_as_declared", "fail", declared("first-use", tried(cut(), 200))),
    ("key_is_used_as_declared", "fail", declared("complete-delivery", tried(cut(), 401))),
    ("key_is_used_as_declared", "pass", declared("complete-delivery", tried(part(10), 200))),
    ("key_is_used_as_declared", "inconclusive", declared("complete-delivery", tried(part(60), part(60), 401))),
    ("key_is_used_as_declared", "inconclusive", declared("complete-delivery", tried(part(10, "bytes 0-9/*"), 401))),
    ("key_is_used_as_declared", "inconclusive", tried(unseen(), 401)),
    ("key_is_used_as_declared", "inconclusive", tried(200, 401)),
    ("key_is_used_as_declared", "inconclusive", race(200, 401)),
    ("secrets_do_not_leak", "pass", shows()),
    ("secrets_do_not_leak", "warning", shows(answer=LEAK)),
    ("secrets_do_not_leak", "warning", shows(answer_headers=(("X-Debug", "<key:1>"),))),
    ("secrets_do_not_leak", "warning", shown_by_a_command),
    ("secrets_do_not_leak", "pass", shows(answer={"message": "<key:9> is unknown"})),
    ("secrets_do_not_leak", "inconclusive", shows(None, closed_by="us")),
    ("key_defects_are_answered_in_order", "pass", tried(200, foreign(401))),
    ("key_defects_are_answered_in_order", "deviation", tried(200, foreign(403))),
    ("key_defects_are_answered_in_order", "pass", aged(JUST_AFTER_S, 401, credential="token:dddddddd-0000-4000-8000-000000000002")),
    ("key_defects_are_answered_in_order", "deviation", aged(JUST_AFTER_S, 403, credential="token:dddddddd-0000-4000-8000-000000000002")),
    ("key_defects_are_answered_in_order", "pass", wrong_key(401, credential="none")),
    ("key_defects_are_answered_in_order", "deviation", wrong_key(403, credential="unknown")),
    ("key_defects_are_answered_in_order", "inconclusive", tried(foreign(403))),
]
