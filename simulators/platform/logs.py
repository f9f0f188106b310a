"""Log lines as JSON objects, with every secret blotted out before it is written."""

import json
import logging
import re

from harness.clock import rfc3339

_SECRETS = re.compile(r"(\bkey=|\bQB_|\b(?:Basic|Bearer) )[^\s&\"',;]+", re.IGNORECASE)
_FIELDS = ("method", "path", "status", "peer", "trace", "duration_s")


def redacted(text: str) -> str:
    """The text without download keys, API keys and tokens, as far as they can be told by what stands before them."""
    return _SECRETS.sub(r"\1…", text)


class JsonLines(logging.Formatter):
    """One JSON object a line: `at`, `level`, `logger`, `message`, and what the record carries beside."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "at": rfc3339(record.created, fraction_digits=3),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": redacted(record.getMessage()),
            **{name: value for name in _FIELDS if (value := getattr(record, name, None)) is not None},
        }
        if record.exc_info:
            line["exception"] = redacted(self.formatException(record.exc_info))
        return json.dumps(line)
