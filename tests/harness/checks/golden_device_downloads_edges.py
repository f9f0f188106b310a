"""Golden stories of a device's downloads: what was spoilt on the way, what was asked again, what is in use afterwards."""

THIRD_SHA = "77" * 32


def nothing(story):
    """No result, no observer."""


def another_image(story):
    story.installed(THIRD_SHA)


def failure(story):
    story.failed()


def changed_image(story):
    story.failed()
    story.observes(THIRD_SHA)


def spoilt(kind, then, *, status=200, **facts):
    """A download that the platform spoilt, and what came of it."""

    def happens(story):
        story.observes("0d" * 32) if then is changed_image else None
        story.stores()
        story.says("download spoilt", kind=kind, **facts)
        story.offers()
        story.downloads(status, complete=status != 200)
        then(story)

    return happens


def offered_without_a_url(story):
    story.command("download_firmware", {})


def asked_again_after_the_whole_file(story):
    story.offers()
    story.downloads()
    story.downloads(401)


def offered(then, *, is_valid=True):
    """An undisturbed download that was delivered whole."""

    def happens(story):
        story.stores(is_valid=is_valid)
        story.offers()
        story.downloads()
        then(story)

    return happens


def asked_twice_at_once(story):
    story.says("download spoilt", kind="error", status=401)
    story.offers()
    for exchange in [story.asks(), story.asks()]:
        story.gets(401, exchange=exchange)
    story.failed()


def expired(story):
    story.says("offer altered", query="", expires_in_s=-3600.0)
    story.offers()
    story.downloads(401)


def redirected_without_asking(story):
    story.says("download spoilt", kind="redirect", status=302)
    story.offers()
    story.failed()


def second_behind_an_undisturbed_one(story):
    for key, packet_id in ((1, 1), (2, 2)):
        story.offers(key=key, packet_id=packet_id)
        story.downloads(path=f"/v2/device/download?key=<key:{key}>")
        story.installed()


def second_during_a_slow_one(*ends):
    def happens(story):
        story.stores()
        first = story.asks_for_a_slow_one(key=1, packet_id=1)
        story.offers(key=2, packet_id=2)
        story.gets(exchange=first)
        for then in ends:
            then(story)

    return happens


GOLDEN = [
    ("download_uses_the_url_and_the_raw_token", "inconclusive", offered_without_a_url),
    ("download_uses_the_url_and_the_raw_token", "fail", asked_again_after_the_whole_file),
    ("stored_file_is_installed_byte_for_byte", "inconclusive", spoilt("cut", failure, at_byte=50)),
    ("stored_file_is_installed_byte_for_byte", "fail", offered(nothing)),
    ("broken_off_download_is_not_installed", "fail", spoilt("cut", changed_image, at_byte=50)),
    ("broken_off_download_is_not_installed", "inconclusive", spoilt("cut", nothing, at_byte=50)),
    ("broken_off_download_is_not_installed", "fail", spoilt("short", another_image, amount_bytes=10)),
    ("broken_off_download_is_not_installed", "fail", spoilt("short", another_image, amount_bytes=10, is_chunked=True)),
    ("broken_off_download_is_not_installed", "fail", spoilt("long", another_image, amount_bytes=10)),
    ("broken_off_download_is_not_installed", "fail", spoilt("stall", another_image, pause_s=10)),
    ("broken_off_download_is_not_installed", "fail", spoilt("chunked", another_image)),
    ("invalid_image_is_refused", "inconclusive", offered(failure)),
    ("invalid_image_is_refused", "inconclusive", offered(nothing, is_valid=False)),
    ("error_body_is_not_installed", "fail", spoilt("error", changed_image, status=500)),
    ("error_body_is_not_installed", "inconclusive", spoilt("error", nothing, status=500)),
    ("refused_download_is_not_hammered", "inconclusive", spoilt("error", failure, status=500)),
    ("refused_download_is_not_hammered", "warning", asked_twice_at_once),
    ("stale_download_is_tried_once_at_most", "warning", expired),
    ("token_stays_with_its_host", "inconclusive", redirected_without_asking),
    ("fresh_key_is_used_whatever_the_clock_says", "inconclusive", expired),
    ("fresh_key_is_used_whatever_the_clock_says", "warning", offered(failure)),
    ("second_download_leaves_one_image", "inconclusive", second_behind_an_undisturbed_one),
    ("second_download_leaves_one_image", "warning", second_during_a_slow_one(another_image, another_image)),
    ("second_download_leaves_one_image", "warning", second_during_a_slow_one(failure, failure)),
]
