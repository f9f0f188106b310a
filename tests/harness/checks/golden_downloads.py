"""Golden stories of downloads: bytes, headers, credentials, slow transfers."""

from harness.history.events import HttpResponse


def fetched(*, offer_name="fw.bin", **more):
    def happens(story):
        story.offer(name=offer_name)
        story.fetch(**more)

    return happens


def disposed(value, **more):
    return fetched(answer_headers=(("content-length", "100"), ("content-disposition", value)), **more)


def as_credential(credential, status, key="<key:1>"):
    def happens(story):
        story.offer()
        story.fetch(credential=credential, authorization=f"Basic {key}", status=status)

    return happens


def deleted(status, name="fw.bin"):
    def happens(story):
        story.offer()
        story.says("file deleted", project_id=story.project, type="firmware", name=name)
        story.fetch(status=status)

    return happens


def uploaded(sha256):
    def happens(story):
        story.says("file uploaded", project_id=story.project, type="firmware", name="new.bin", sha256=story.sha, size=100)
        story.offer(name="new.bin")
        story.fetch(name="new.bin", sha256=sha256 or story.sha)

    return happens


def uploaded_again(sha256):
    """The file of the target's list is replaced by one with other bytes, commanded, and fetched."""

    def happens(story):
        story.says("file uploaded", project_id=story.project, type="firmware", name="fw.bin", sha256="77" * 32, size=100)
        story.offer()
        story.fetch(sha256=sha256 or story.sha)

    return happens


def uploaded_elsewhere(story):
    story.says("file uploaded", project_id="another", type="firmware", name="fw.bin", sha256="77" * 32, size=100)
    story.offer()
    story.fetch()


def of_a_file_that_we_do_not_have(story):
    story.says("file uploaded", project_id=story.project, type="firmware", name="new.bin")
    story.offer(name="new.bin")
    story.fetch(name="new.bin", sha256="00" * 32)


def copies(before, after, *, downloads=3):
    return lambda story: story.says("temporary copies", before=before, after=after, downloads=downloads, unfetched=3 - downloads)


def asked(status, *, ranges=None, method="GET", declared=None, row="KEY-08"):
    def happens(story):
        if declared:
            story.declare(row, declared)
        story.offer()
        story.fetch(status=status, method=method, extra=(("Range", ranges),) if ranges else ())

    return happens


def advertising(ranges):
    return fetched(answer_headers=(("content-length", "100"), ("Accept-Ranges", ranges)))


def head_announcing(length):
    def happens(story):
        story.offer()
        story.fetch(method="HEAD", answer_headers=(("content-length", length),) if length else ())

    return happens


def head_of_a_used_key(story):
    story.offer()
    story.fetch()
    story.fetch(method="HEAD", status=401)


def afterwards(happens):
    def then(story):
        story.offer()
        story.fetch()
        happens(story)

    return then


def begun_and_never_over(story):
    story.offer()
    path, credential = "/v2/device/download?key=<key:1>", f"token:{story.dev}"
    number = story.ask("download", "GET", path, credential=credential, device_id=story.dev)
    story.add(HttpResponse(number, 200, (("content-length", "100"),)))


def commanded(name, status):
    return afterwards(lambda story: story.command("download_firmware", {"file_name": name}, status))


def commanded_with_a_list_of_names(status):
    return afterwards(lambda story: story.command("download_firmware", ["fw.bin"], status))


def listed(*names, **more):
    return afterwards(lambda story: story.list(names=names, **more))


def deleted_by_us_afterwards(story):
    story.offer()
    story.fetch()
    story.says("file deleted", project_id=story.project, type="firmware", name="fw.bin")
    story.list(names=[])


def logged_in(happens):
    def then(story):
        story.login()
        happens(story)

    return then


def base64_works_and_raw_does_not(story):
    story.login()
    story.offer()
    story.fetch(credential=f"base64-token:{story.dev}", status=200)
    story.offer(2)
    story.fetch(2, status=401)


def stretched(by_s, *, complete=True, key_age_s=0, closed_by="", status=200, is_answered=True, how="stretching a transfer"):
    """A transfer during which the target's clock is moved."""

    def happens(story):
        story.offer()
        if key_age_s:
            story.move_clock(key_age_s)
        story.says(how, device_id=story.dev, by_s=by_s)
        path = "/v2/device/download?key=<key:1>"
        number = story.ask("download", "GET", path, credential=f"token:{story.dev}", device_id=story.dev)
        from harness.history.events import HttpEnded, HttpResponse

        if status is not None:
            story.add(HttpResponse(number, status, (("content-length", "100"),)))
        story.says("moving the clock", seconds=by_s)
        if is_answered:
            story.move_clock(by_s)
        story.add(HttpEnded(number, 100 if complete else 40, complete, story.sha, "", "" if complete else "cut", closed_by))
        if not is_answered:
            story.move_clock(by_s)

    return happens


def paused(**more):
    def happens(story):
        story.offer()
        story.says("pausing a transfer", pause_s=12)
        story.fetch(takes_s=13, **more)

    return happens


def never_whole(happens):
    """The file does not come whole to a quick reader either."""

    def both(story):
        story.scope = "another"
        story.offer(2)
        story.fetch(2, complete=False, received_bytes=99, closed_by="peer")
        story.scope = "scene"
        happens(story)

    return both


def cut_while_paused(happens):
    """Another scenario's paused transfer of the file is cut: that says nothing about quick readers."""

    def both(story):
        story.scope = "another"
        story.says("pausing a transfer", pause_s=12)
        story.offer(2)
        story.fetch(2, complete=False, received_bytes=60, closed_by="peer")
        story.scope = "scene"
        happens(story)

    return both


def another_key_works(happens):
    """The device's token is taken with another key."""

    def both(story):
        happens(story)
        story.offer(2)
        story.fetch(2)

    return both


def beside_slow_ones(command_s, download_s, *, marks=True):
    def happens(story):
        story.offer(1)
        story.offer(2)
        for key, word, first_s, second_s in ((1, "alone", 0.1, 0.1), (2, "beside", command_s, download_s)):
            if marks:
                story.says(f"fast {word}")
            story.command(data={"timed": word}, takes_s=first_s)
            story.fetch(key, takes_s=second_s)
        story.says("beside slow downloads", slow=8)

    return happens


def memory(grown_bytes):
    return lambda story: story.says("memory beside slow downloads", before_bytes=10**8, after_bytes=10**8 + grown_bytes, downloads=24)


def named(disposition):
    return disposed(disposition, offer_name="odd name.BIN")


def fetched_after_one_that_never_came(story):
    story.command("download_firmware", {"file_name": "odd name.BIN"})
    story.says("nothing came", topic=f"{story.dev}/control/download_firmware")
    story.offer()
    story.fetch()


GOLDEN = [
    ("download_delivers_the_file", "inconclusive", begun_and_never_over),
    ("download_delivers_the_file", "pass", fetched()),
    ("download_delivers_the_file", "pass", fetched_after_one_that_never_came),
    ("download_delivers_the_file", "inconclusive", fetched(complete=False, received_bytes=50, takes_s=900.0)),
    ("download_delivers_the_file", "fail", fetched(complete=False, received_bytes=50, takes_s=890.0)),
    ("download_delivers_the_file", "pass", disposed("Attachment; FileName=\"fw.bin\"; filename*=UTF-8''fw.bin")),
    ("download_delivers_the_file", "pass", disposed("attachment; filename*=UTF-8''fw.bin")),
    ("download_delivers_the_file", "pass", disposed("attachment; filename=fw.bin;")),
    ("download_delivers_the_file", "fail", disposed("attachment; filename*=UTF-8''other.bin")),
    ("download_delivers_the_file", "fail", disposed("attachment; filename=other.bin; filename*=UTF-8''fw.bin")),
    ("download_delivers_the_file", "fail", disposed("attachment; filename='fw.bin'")),
    ("download_delivers_the_file", "fail", disposed("inline; filename=fw.bin")),
    ("download_delivers_the_file", "fail", disposed("attachment; filename=other.bin")),
    ("download_delivers_the_file", "fail", disposed("attachment; filename=fw.bin.old")),
    ("download_delivers_the_file", "fail", fetched(answer_headers=(("content-disposition", "attachment; filename=fw.bin"),))),
    ("download_delivers_the_file", "fail", fetched(content_type="application/json")),
    ("download_delivers_the_file", "fail", fetched(sha256="00" * 32)),
    ("download_delivers_the_file", "fail", fetched(received_bytes=99)),
    ("download_delivers_the_file", "fail", fetched(complete=False, received_bytes=40, closed_by="peer")),
    ("download_delivers_the_file", "fail", fetched(status=404)),
    ("download_delivers_the_file", "fail", fetched(status=None, closed_by="peer")),
    ("download_delivers_the_file", "inconclusive", fetched(complete=False, received_bytes=40, closed_by="us")),
    ("download_delivers_the_file", "inconclusive", fetched(status=401)),
    ("download_delivers_the_file", "inconclusive", deleted(404)),
    ("download_delivers_the_file", "inconclusive", stretched(910, complete=False)),
    ("download_delivers_the_file", "pass", uploaded(None)),
    ("download_delivers_the_file", "fail", uploaded("00" * 32)),
    ("download_delivers_the_file", "pass", uploaded_again("77" * 32)),
    ("download_delivers_the_file", "fail", uploaded_again(None)),
    ("download_delivers_the_file", "pass", uploaded_elsewhere),
    ("download_delivers_the_file", "pass", named("attachment; filename=whatever")),
    ("download_needs_the_raw_device_token", "pass", fetched()),
    ("download_needs_the_raw_device_token", "inconclusive", fetched(status=404)),
    ("unauthorized_names_its_scheme", "inconclusive", fetched()),
    ("download_delivers_the_file", "pass", of_a_file_that_we_do_not_have),
    ("download_needs_the_raw_device_token", "fail", fetched(status=401)),
    ("download_needs_the_raw_device_token", "pass", another_key_works(fetched(status=401))),
    ("one_token_serves_mqtt_and_http", "pass", logged_in(another_key_works(fetched(status=401)))),
    ("download_needs_the_raw_device_token", "pass", as_credential("unknown", 401)),
    ("download_needs_the_raw_device_token", "fail", as_credential("unknown", 200)),
    ("download_needs_the_raw_device_token", "fail", as_credential("none", 403)),
    ("download_needs_the_raw_device_token", "fail", as_credential("none", 500)),
    ("api_key_is_no_device_token", "pass", as_credential("api-key:full", 401)),
    ("api_key_is_no_device_token", "fail", as_credential("api-key:full", 200)),
    ("api_key_is_no_device_token", "inconclusive", as_credential("api-key:full", None)),
    ("deleted_file_is_not_found", "pass", deleted(404)),
    ("deleted_file_is_not_found", "fail", deleted(200)),
    ("deleted_file_is_not_found", "fail", deleted(500)),
    ("deleted_file_is_not_found", "inconclusive", deleted(404, name="another.bin")),
    ("temporary_copy_is_removed", "pass", copies(1, 1)),
    ("temporary_copy_is_removed", "fail", copies(1, 4)),
    ("temporary_copy_is_removed", "pass", lambda story: story.says("temporary copies", before=1, after=1, expired=1)),
    ("temporary_copy_is_removed", "fail", lambda story: story.says("temporary copies", before=1, after=2, expired=1)),
    ("temporary_copy_is_removed", "pass", copies(1, 2, downloads=2)),
    ("temporary_copy_is_removed", "fail", copies(1, 3, downloads=2)),
    ("temporary_copy_is_removed", "inconclusive", copies(1, 4, downloads=0)),
    ("download_errors_follow_the_contract", "pass", fetched(status=401)),
    ("download_errors_follow_the_contract", "pass", fetched(status=401, content_type="application/json")),
    ("download_errors_follow_the_contract", "deviation", fetched(status=401, content_type="text/html")),
    ("download_errors_follow_the_contract", "warning", fetched(status=401, answer={"message": "no"})),
    ("download_errors_follow_the_contract", "fail", fetched(status=404, answer="File not found")),
    ("download_errors_follow_the_contract", "inconclusive", fetched(status=401, method="HEAD")),
    ("download_errors_follow_the_contract", "inconclusive", fetched(status=401, answer="{", complete=False, closed_by="us")),
    ("head_and_range_follow_the_reading", "pass", asked(200, method="HEAD")),
    ("head_and_range_follow_the_reading", "pass", head_announcing("")),
    ("head_and_range_follow_the_reading", "deviation", head_announcing("0")),
    ("head_and_range_follow_the_reading", "deviation", asked(405, method="HEAD")),
    ("head_and_range_follow_the_reading", "pass", asked(405, method="HEAD", declared="405", row="DLD-10")),
    ("head_and_range_follow_the_reading", "pass", asked(200, ranges="bytes=0-9")),
    ("head_and_range_follow_the_reading", "deviation", asked(206, ranges="bytes=0-9")),
    ("head_and_range_follow_the_reading", "pass", asked(206, ranges="bytes=0-9", declared="complete-delivery")),
    ("head_and_range_follow_the_reading", "pass", asked(200, ranges="bytes=0-", declared="complete-delivery")),
    ("head_and_range_follow_the_reading", "deviation", asked(200, ranges="bytes=0-9", declared="complete-delivery")),
    ("head_and_range_follow_the_reading", "deviation", advertising("bytes")),
    ("head_and_range_follow_the_reading", "inconclusive", advertising("none")),
    ("head_and_range_follow_the_reading", "deviation", asked(416, ranges="bytes=0-9")),
    ("head_and_range_follow_the_reading", "deviation", asked(500, ranges="bytes=0-")),
    ("head_and_range_follow_the_reading", "pass", asked(416, ranges="bytes=5-5,7-9")),
    ("head_and_range_follow_the_reading", "pass", asked(401, ranges="bytes=0-9")),
    ("head_and_range_follow_the_reading", "inconclusive", head_of_a_used_key),
    ("stored_file_outlives_its_download", "pass", commanded("fw.bin", 200)),
    ("stored_file_outlives_its_download", "deviation", commanded("fw.bin", 404)),
    ("stored_file_outlives_its_download", "inconclusive", commanded("another.bin", 404)),
    ("stored_file_outlives_its_download", "inconclusive", commanded_with_a_list_of_names(404)),
    ("stored_file_outlives_its_download", "inconclusive", listed(files=["fw.bin"])),
    ("stored_file_outlives_its_download", "pass", listed("fw.bin")),
    ("stored_file_outlives_its_download", "deviation", listed("another.bin")),
    ("stored_file_outlives_its_download", "inconclusive", listed(file_type="logo")),
    ("stored_file_outlives_its_download", "inconclusive", listed(answer="[]")),
    ("stored_file_outlives_its_download", "inconclusive", listed(credential="api-key:other_org")),
    ("stored_file_outlives_its_download", "inconclusive", deleted_by_us_afterwards),
    ("one_token_serves_mqtt_and_http", "pass", logged_in(fetched())),
    ("one_token_serves_mqtt_and_http", "fail", logged_in(fetched(status=401))),
    ("one_token_serves_mqtt_and_http", "inconclusive", base64_works_and_raw_does_not),
    ("one_token_serves_mqtt_and_http", "inconclusive", fetched()),
    ("token_is_taken_raw_only", "pass", as_credential("base64-token:x", 401)),
    ("token_is_taken_raw_only", "deviation", as_credential("base64-token:x", 200)),
    ("token_is_taken_raw_only", "inconclusive", as_credential("base64-token:x", None)),
    ("unauthorized_names_its_scheme", "pass", fetched(status=401)),
    ("unauthorized_names_its_scheme", "warning", fetched(status=401, answer_headers=())),
    ("slow_transfer_completes_within_fifteen_minutes", "pass", stretched(880)),
    ("slow_transfer_completes_within_fifteen_minutes", "fail", stretched(880, complete=False, closed_by="peer")),
    ("slow_transfer_completes_within_fifteen_minutes", "inconclusive", never_whole(stretched(880, complete=False, closed_by="peer"))),
    ("slow_transfer_completes_within_fifteen_minutes", "fail", another_key_works(stretched(880, complete=False, closed_by="peer"))),
    ("slow_transfer_completes_within_fifteen_minutes", "inconclusive", stretched(910, complete=False)),
    ("slow_transfer_completes_within_fifteen_minutes", "inconclusive", stretched(880, complete=False, closed_by="us")),
    ("slow_transfer_completes_within_fifteen_minutes", "inconclusive", stretched(880, status=None)),
    ("slow_transfer_completes_within_fifteen_minutes", "inconclusive", fetched()),
    ("slow_transfer_completes_within_fifteen_minutes", "inconclusive", stretched(30)),
    ("paused_transfer_goes_on", "pass", paused()),
    ("slow_transfer_completes_within_fifteen_minutes", "pass", cut_while_paused(stretched(880))),
    ("paused_transfer_goes_on", "fail", paused(complete=False, received_bytes=60, closed_by="peer")),
    ("paused_transfer_goes_on", "inconclusive", never_whole(paused(complete=False, received_bytes=60, closed_by="peer"))),
    ("paused_transfer_goes_on", "inconclusive", paused(complete=False, received_bytes=60, closed_by="us")),
    ("paused_transfer_goes_on", "inconclusive", stretched(910, complete=False, how="pausing a transfer")),
    ("paused_transfer_goes_on", "inconclusive", stretched(880)),
    ("slow_transfer_is_cut_after_fifteen_minutes", "pass", stretched(910, complete=False)),
    ("slow_transfer_is_cut_after_fifteen_minutes", "pass", stretched(910, complete=False, is_answered=False)),
    ("slow_transfer_completes_within_fifteen_minutes", "inconclusive", stretched(910, complete=False, is_answered=False)),
    ("download_delivers_the_file", "inconclusive", stretched(910, complete=False, is_answered=False)),
    ("slow_transfer_is_cut_after_fifteen_minutes", "deviation", stretched(910)),
    ("slow_transfer_is_cut_after_fifteen_minutes", "inconclusive", stretched(880)),
    ("transfer_may_outlive_its_key", "pass", stretched(30, key_age_s=1_785)),
    ("transfer_may_outlive_its_key", "deviation", stretched(30, key_age_s=1_785, complete=False, closed_by="peer")),
    ("transfer_may_outlive_its_key", "inconclusive", stretched(30)),
    ("slow_downloads_do_not_slow_others", "pass", beside_slow_ones(0.2, 2.5)),
    ("slow_downloads_do_not_slow_others", "warning", beside_slow_ones(0.2, 4.0)),
    ("slow_downloads_do_not_slow_others", "warning", beside_slow_ones(30.0, 0.1)),
    ("slow_downloads_do_not_slow_others", "inconclusive", beside_slow_ones(30.0, 30.0, marks=False)),
    ("memory_of_slow_downloads_is_bounded", "pass", memory(60_000_000)),
    ("memory_of_slow_downloads_is_bounded", "warning", memory(600_000_000)),
    ("unusual_file_name_makes_a_good_header", "pass", named('attachment; filename="odd name.BIN"')),
    ("unusual_file_name_makes_a_good_header", "pass", named("attachment; filename=\"odd\"; filename*=UTF-8''odd%20name.BIN")),
    ("unusual_file_name_makes_a_good_header", "pass", named(r'attachment; filename="a \"b\".BIN"')),
    ("unusual_file_name_makes_a_good_header", "warning", named("attachment; filename=odd name.BIN")),
    ("unusual_file_name_makes_a_good_header", "warning", named('attachment; filename="a "b".BIN"')),
    ("unusual_file_name_makes_a_good_header", "warning", named("attachment; filename*=odd")),
    ("unusual_file_name_makes_a_good_header", "warning", named("inline")),
    ("unusual_file_name_makes_a_good_header", "warning", named('attachment; filename="../odd.BIN"')),
    ("unusual_file_name_makes_a_good_header", "inconclusive", fetched()),
    ("unusual_file_name_makes_a_good_header", "inconclusive", fetched(offer_name="odd name.BIN", answer_headers=())),
]
