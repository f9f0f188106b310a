"""URLs are taken apart whatever they say; ours get no host that is none."""

import pytest

from harness.wire.urls import checked_host, host_and_target


@pytest.mark.parametrize(
    ("url", "host", "target"),
    [
        ("http://h:8080/v2/device/download?key=a%2F&x#y", "h:8080", "/v2/device/download?key=a%2F&x#y"),
        ("/v2/files?type=logo", "", "/v2/files?type=logo"),
        ("https://h", "h", "/"),
        ("http://[h/v2", "[h", "/v2"),
        ("//[h/v2", "", "//[h/v2"),
        ("", "", "/"),
    ],
)
def test_host_and_target_of_whatever_stands_there(url, host, target):
    assert host_and_target(url) == (host, target)


@pytest.mark.parametrize("host", ["bench", "bench.example.", "test_bench-1.example", "10.0.2.2", "::1", "2001:db8::7"])
def test_a_name_or_an_address_is_a_host(host):
    assert checked_host(host) == host


@pytest.mark.parametrize("host", ["", " ", "a b", "bench\n", "http://bench", "bench:80", "bench/", "[::1]", "a..b", "bänk", "a" * 254])
def test_what_no_url_could_hold_as_its_host_is_refused(host):
    with pytest.raises(ValueError, match="is no host: a name or an IP address"):
        checked_host(host)
