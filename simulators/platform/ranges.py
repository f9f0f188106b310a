"""The `Range` header, where it is served at all (policy `complete-delivery`, DLD-10).   Source: RFC 9110 14.1.2, 14.2."""

import re
from collections.abc import Sequence

from simulators.platform.keys import Span

_ONE_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.IGNORECASE)


class Unsatisfiable(Exception):
    """The range begins behind the last byte: 416."""


def requested_span(fields: Sequence[str], size_bytes: int) -> Span | None:
    """The one range that a request asks for; None where it asks for none, several, or says it badly: the whole file is due then.

    Raises Unsatisfiable.
    """
    match = _ONE_RANGE.fullmatch(fields[0].strip()) if len(fields) == 1 else None
    if match is None or match.group(1) == match.group(2) == "":
        return None
    first_text, last_text = match.groups()
    if not first_text:
        first, end = max(0, size_bytes - int(last_text)), size_bytes
    else:
        first, end = int(first_text), min(size_bytes, int(last_text) + 1) if last_text else size_bytes
        if last_text and int(last_text) < first:
            return None
    if first >= end:
        raise Unsatisfiable
    return first, end
