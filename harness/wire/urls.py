"""URLs as they stand in requests: taken apart without a judgement, as others may write what is none."""


def host_and_target(url: str) -> tuple[str, str]:
    """What stands between the scheme and the path ("" in a bare path), and all that stands behind it, to the last character."""
    if url.startswith("/"):
        return "", url
    host, _, rest = url.partition("://")[2].partition("/")
    return host, f"/{rest}"
