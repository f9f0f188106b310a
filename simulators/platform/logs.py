"""Log lines as JSON objects, with every secret blotted out before it is written."""

import json
import logging
import re

from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web import RequestPayloadError

from harness.clock import rfc3339

_SECRETS = re.compile(r"(\bkey=|\bQB_|\b(?:Basic|Bearer) )[^\s&\"',;]+", re.IGNORECASE)
_FIELDS = ("method", "path", "status", "peer", "trace", "duration_s")


def redacted(text: str) -> str:
    """The text without download keys, API keys and tokens, as far as they can be told by what stands before them."""
    return _SECRETS.sub(r"\1…", text)


class PeersFault(logging.Filter):
    """Turns what a peer did wrong (bytes that are no HTTP, a connection gone) from a traceback into one line of level INFO."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, HttpProcessingError | RequestPayloadError | ConnectionError | TimeoutError):
            first_line = redacted(str(error).partition("\n")[0])
            record.msg, record.args, record.exc_info = f"{record.getMessage()}: {type(error).__name__} {first_line}", (), None
            record.levelno, record.levelname = logging.INFO, "INFO"
        return True


def http_logger() -> logging.Logger:
    """The logger to give to aiohttp's server."""
    logger = logging.getLogger("hil.platform.http")
    if not logger.filters:
        logger.addFilter(PeersFault())
    return logger


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
