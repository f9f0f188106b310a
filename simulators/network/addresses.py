"""Addresses of this machine: how a host stands in a URL, and which of its ports nobody uses."""

import socket

from harness.errors import BenchError, OptionError
from harness.wire.urls import checked_host


def host_in_url(host: str) -> str:
    """The host as URLs have it: an IPv6 address in brackets.   Source: RFC 3986 3.2.2."""
    return f"[{host}]" if ":" in host else host


def host_option(option: str, host: str) -> str:
    """The host that an option of the command line names. Raises OptionError where it is none."""
    try:
        return checked_host(host)
    except ValueError as error:
        raise OptionError(option, str(error)) from error


def free_port(bind: str, wanted: int = 0) -> int:
    """A port that nobody listens on now, for listeners whose port must be known before they stand.

    Raises BenchError when `wanted` is taken, or `bind` is no address of this machine.
    """
    with socket.socket(socket.AF_INET6 if ":" in bind else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections of a former listener that linger do no harm
        try:
            probe.bind((bind, wanted))
        except OSError as error:
            raise BenchError(f"nobody can listen on {host_in_url(bind)}:{wanted} now: {error}") from error
        return int(probe.getsockname()[1])
