"""What a scenario may do to a download command on its way."""

import json

import pytest

from simulators.counterpart.offers import OfferChange

OFFER = json.dumps({"url": "http://h/v2/device/download?key=abc", "expires_at": "2026-11-22T12:30:00Z"}).encode()


def changed(**how):
    return json.loads(OfferChange(**how).apply(OFFER))


def test_query_is_appended_as_it_stands():
    assert changed(query="&a=%2f+b")["url"] == "http://h/v2/device/download?key=abc&a=%2f+b"


def test_port_is_replaced_or_added_and_nothing_else():
    assert changed(port=81)["url"] == "http://h:81/v2/device/download?key=abc"


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "bench.local"])
def test_port_of_every_form_of_host_is_replaced(host):
    offer = json.dumps({"url": f"http://{host}:8080/a?key=b", "expires_at": "2026-11-22T12:30:00Z"}).encode()
    assert json.loads(OfferChange(port=81).apply(offer))["url"] == f"http://{host}:81/a?key=b"


def test_expiry_moves_with_the_time_of_issue_as_its_zero():
    assert changed(expires_in_s=-3600.0)["expires_at"] == "2026-11-22T11:00:00Z"
    assert changed(expires_in_s=86_400.0)["expires_at"] == "2026-11-23T12:00:00Z"


def test_nothing_else_changes():
    assert changed() == json.loads(OFFER)


def test_offer_spelled_otherwise_says_the_same():
    assert OfferChange(spelled_otherwise=True).apply(OFFER) != OFFER
    assert json.loads(OFFER).items() <= changed(spelled_otherwise=True).items()
