"""URLs as they stand in requests: taken apart without a judgement, as others may write what is none. And the host that we put into ours."""

import re
from ipaddress import ip_address

_HOST_NAME = re.compile(r"(?!.{254})[a-z0-9_-]+(\.[a-z0-9_-]+)*\.?", re.ASCII | re.IGNORECASE)


def host_and_target(url: str) -> tuple[str, str]:
    """What stands between the scheme and the path ("" in a bare path), and all that stands behind it, to the last character."""
    if url.startswith("/"):
        return "", url
    host, _, rest = url.partition("://")[2].partition("/")
    return host, f"/{rest}"


def checked_host(host: str) -> str:
    """The host itself, where a URL can hold it.   Source: RFC 3986 3.2.2, RFC 1123 2.1.

    Raises ValueError for what is neither a name nor an address; IPv6 is written without brackets here.
    """
    try:
        ip_address(host)
    except ValueError as error:
        if not _HOST_NAME.fullmatch(host):
            raise ValueError(f"{host!r} is no host: a name or an IP address, without scheme, port, path and brackets") from error
    return host
