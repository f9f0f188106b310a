"""The download itself: the file's bytes, who may fetch them, and what a slow device may count on."""

from harness.requirements.requirement import Level, Requirement, Side

_P = (Side.PLATFORM,)

DOWNLOADS: tuple[Requirement, ...] = (
    Requirement(
        "DLD-01",
        Level.MUST,
        _P,
        "200 with the file's exact bytes, `Content-Type: application/octet-stream`, `Content-Length` = size, and "
        "`Content-Disposition: attachment; filename={file_name}` (quoted or not)",
        "D",
    ),
    Requirement(
        "DLD-02",
        Level.MUST,
        _P,
        "`Authorization: Basic {device_token}`, the raw token, is accepted; an absent, malformed or unknown one is 401",
        "D",
    ),
    Requirement(
        "DLD-03",
        Level.MUST,
        _P,
        "a user's API key (Bearer or Basic) is 401 at the download endpoint",
        "D",
    ),
    Requirement(
        "DLD-04",
        Level.MUST,
        _P,
        "a file that was deleted or moved after the command is 404",
        "D",
    ),
    Requirement(
        "DLD-05a",
        Level.MUST,
        _P,
        "a transfer that a slow device stretches to just under 15 minutes completes",
        "D",
    ),
    Requirement(
        "DLD-05b",
        Level.READ,
        _P,
        "the 15 minutes are the total time from the response's start, and the platform cuts the transfer there",
        "D",
        reading="the source does not say from when the 15 minutes count",
    ),
    Requirement(
        "DLD-06",
        Level.MUST,
        _P,
        "the temporary copy is gone after the download, and after the key's expiry when nobody came",
        "D, I",
        reading="seen from inside only: by hooks, or at our own platform",
    ),
    Requirement(
        "DLD-07",
        Level.SHOULD,
        _P,
        "one slow device does not slow others: a fast download and a command stay fast while several slow ones run",
        "I",
        hardening=True,
    ),
    Requirement(
        "DLD-08a",
        Level.MUST,
        _P,
        "error bodies follow `main.ErrorResponse`, as in CMD-17",
        "O",
    ),
    Requirement(
        "DLD-08b",
        Level.READ,
        _P,
        "error bodies are served as `application/octet-stream`",
        "O",
        reading="the contract types them so; either is read",
    ),
    Requirement(
        "DLD-09",
        Level.SHOULD,
        _P,
        "a file name with spaces, quotes, `;`, UTF-8 or path parts yields a well-formed header and cannot escape the storage",
        "RFC 6266, I",
        hardening=True,
    ),
    Requirement(
        "DLD-10",
        Level.READ,
        _P,
        "HEAD is answered like GET without a body and consumes nothing; Range is ignored with `Accept-Ranges: none` (policy `first-use`) "
        "or served (policy `complete-delivery`)",
        "R 9.3.2, I",
        reading="the source is silent; 405 with `Allow` is a deviation",
    ),
    Requirement(
        "DLD-11",
        Level.SHOULD,
        _P,
        "the platform's memory per open slow download is bounded",
        "I",
        hardening=True,
    ),
    Requirement(
        "DLD-12",
        Level.READ,
        _P,
        "only the temporary copy is deleted after a download: the stored file stays listed and can be commanded again",
        "D",
        reading="the source says that the file is deleted, and means the copy made for the key",
    ),
    Requirement(
        "DLD-13",
        Level.MUST,
        _P,
        "one device token serves as MQTT password and as HTTP token",
        "D",
    ),
    Requirement(
        "DLD-14",
        Level.READ,
        _P,
        "the token is taken raw only, not in the base64 form of HTTP Basic",
        "D, O",
        reading="the contract names `BasicAuth` and defines no scheme; also accepting base64 is a deviation",
    ),
    Requirement(
        "DLD-15",
        Level.SHOULD,
        _P,
        "a 401 carries `WWW-Authenticate`",
        "R 11.6.1",
    ),
)
