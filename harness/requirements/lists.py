"""File lists: what a user may command a device to download."""

from harness.requirements.requirement import Level, Requirement, Side

_P = (Side.PLATFORM,)

LISTS: tuple[Requirement, ...] = (
    Requirement(
        "LST-01",
        Level.MUST,
        _P,
        "`GET /v2/projects/{project_id}/files?type=firmware|logo` lists that project's files of that type",
        "L",
    ),
    Requirement(
        "LST-02a",
        Level.MUST,
        _P,
        "`GET /v2/files?type=…` lists the organisation's files over all its projects",
        "L",
    ),
    Requirement(
        "LST-02b",
        Level.SHOULD,
        _P,
        "a list never shows another organisation's files",
        "L, I",
        hardening=True,
    ),
    Requirement(
        "LST-03",
        Level.MUST,
        _P,
        "each entry has `name`, `time` (ISO 8601, UTC), `size` (bytes, integer), and optionally `description` (string)",
        "L, O",
    ),
    Requirement(
        "LST-04",
        Level.MUST,
        _P,
        "a missing `type`, or another value, is 400",
        "L",
    ),
    Requirement(
        "LST-05",
        Level.MUST,
        _P,
        "a missing or unknown API key is 401",
        "L",
    ),
    Requirement(
        "LST-06",
        Level.SHOULD,
        _P,
        "a file uploaded through the portal appears at once; a deleted one is gone",
        "L",
    ),
    Requirement(
        "LST-07a",
        Level.MUST,
        _P,
        "the body is an object with the array `files`",
        "L, O",
    ),
    Requirement(
        "LST-07b",
        Level.READ,
        _P,
        "`files` is `[]` when there are none",
        "L, O",
        reading="the source does not show an empty list",
    ),
    Requirement(
        "LST-08",
        Level.MUST,
        _P,
        "a listed name works verbatim as `file_name` of its command",
        "L",
    ),
    Requirement(
        "LST-09",
        Level.SHOULD,
        _P,
        "only the type's extensions are listed; `size` equals the download's `Content-Length`",
        "L, D",
    ),
    Requirement(
        "LST-10",
        Level.READ,
        _P,
        "an unknown or foreign project is 404 or an empty list, never foreign files",
        "I",
        reading="the source is silent",
    ),
    Requirement(
        "LST-11",
        Level.READ,
        _P,
        "an API key without the scope `send-commands` may list",
        "I",
        reading="the scope's name speaks of commands only",
    ),
    Requirement(
        "LST-12",
        Level.READ,
        _P,
        "files are uploaded through the portal; an upload by API is not judged",
        "C, L",
        reading='the source contradicts itself ("Portal or API", "not yet supported")',
        unjudged="the source contradicts itself, so no upload by API is asked for",
    ),
)
