"""Download keys: one use, thirty minutes, one device."""

from harness.requirements.requirement import Level, Requirement, Side

_P = (Side.PLATFORM,)

KEYS: tuple[Requirement, ...] = (
    Requirement(
        "KEY-01a",
        Level.MUST,
        _P,
        "a key is accepted until 30 minutes after its issue and refused with 401 after (judged at 2 seconds before and after)",
        "D",
    ),
    Requirement(
        "KEY-01b",
        Level.READ,
        _P,
        "a key is refused from exactly 30:00 on",
        "D",
        reading="the source does not say whether the last instant belongs to the key's life",
        unjudged="nobody outside can hit the exact instant",
    ),
    Requirement(
        "KEY-02",
        Level.MUST,
        _P,
        "one-time: after a successful use a key is 401 for ever, across a restart of the platform too",
        "D",
    ),
    Requirement(
        "KEY-03",
        Level.MUST,
        _P,
        "of N concurrent uses of one key at most one complete delivery happens; under the policy `first-use` exactly one is 200 and all "
        "others are 401",
        "D",
    ),
    Requirement(
        "KEY-04",
        Level.MUST,
        _P,
        "a key is bound to one device: another device's valid token with this key is 403",
        "D",
    ),
    Requirement(
        "KEY-05",
        Level.SHOULD,
        _P,
        "a refused attempt (401, 403, 404, HEAD) does not consume the key: the right device can still use it",
        "I",
    ),
    Requirement(
        "KEY-06a",
        Level.MUST,
        _P,
        "an unknown, empty, absent, truncated or case-changed key is refused, never 200, never 5xx",
        "D",
    ),
    Requirement(
        "KEY-06b",
        Level.READ,
        _P,
        "such a key is refused with 401",
        "D",
        reading="a key is a credential",
    ),
    Requirement(
        "KEY-06c",
        Level.READ,
        _P,
        "a repeated `key` parameter is refused with 401",
        "D",
        reading="which of several keys is meant cannot be known",
    ),
    Requirement(
        "KEY-07",
        Level.SHOULD,
        _P,
        "a key holds at least 128 bits of randomness, of the alphabet `A-Z a-z 0-9 _ -`",
        "I",
        hardening=True,
    ),
    Requirement(
        "KEY-08",
        Level.READ,
        _P,
        "the first GET that passes every check consumes the key before its first body byte (policy `first-use`)",
        "D",
        reading="the source does not say what a use is; a platform may declare `complete-delivery`: an aborted transfer or a part does "
        "not consume",
    ),
    Requirement(
        "KEY-09",
        Level.READ,
        _P,
        "expiry is judged when the transfer starts: one that starts at 29:59 may run on",
        "D",
        reading="the source is silent; a slow device could not use the end of its key's life otherwise",
    ),
    Requirement(
        "KEY-10",
        Level.SHOULD,
        _P,
        "keys do not leak: they stand neither in error bodies nor in headers of others",
        "I",
        hardening=True,
    ),
    Requirement(
        "KEY-11",
        Level.READ,
        _P,
        "a request with several faults is answered in the order bad token 401, bad key 401, other device 403, file gone 404",
        "D",
        reading="who asks comes before what is asked",
    ),
)
