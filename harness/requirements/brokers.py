"""The broker: what must hold before anyone is judged on it. The self-check runs these on every broker first."""

from harness.requirements.requirement import Level, Requirement, Side

_B = (Side.BROKER,)

BROKERS: tuple[Requirement, ...] = (
    Requirement(
        "BRK-01",
        Level.MUST,
        _B,
        "a command queued for an offline persistent session is delivered with RETAIN=0",
        "M 3.3.1-9",
    ),
    Requirement(
        "BRK-02",
        Level.MUST,
        _B,
        "delivered QoS = min(published, granted)",
        "M 3.8.4-6",
    ),
    Requirement(
        "BRK-03",
        Level.MUST,
        _B,
        "connection lost before PUBREC, session resumed: PUBLISH again with DUP=1 and the same id",
        "M 4.4.0-1, 3.3.1-1",
    ),
    Requirement(
        "BRK-04",
        Level.MUST,
        _B,
        "connection lost after PUBREL, session resumed: PUBREL again",
        "M 4.4.0-1",
    ),
    Requirement(
        "BRK-05",
        Level.MUST,
        _B,
        "subscribing again to the same filter replaces the granted QoS",
        "M 3.8.4-3",
    ),
    Requirement(
        "BRK-06",
        Level.MUST,
        _B,
        "a duplicate PUBLISH from a client before PUBREL is one message",
        "M 4.3.3-2",
    ),
    Requirement(
        "BRK-07",
        Level.MUST,
        _B,
        "session present, clean session, take-over of a client id, keep-alive × 1.5 and last will work as MQTT says",
        "M 3.2.2-1…3, 3.1.2-6, 3.1.4-2, 3.1.2-24, 3.1.2-8, 3.1.2-10",
    ),
    Requirement(
        "BRK-08",
        Level.SHOULD,
        _B,
        "the cost of one publish does not grow with the number of devices",
        "I",
    ),
    Requirement(
        "BRK-09",
        Level.MUST,
        _B,
        "QoS 1 and 2 for an offline session that is not clean is stored and delivered",
        "M 3.1.2-5",
    ),
    Requirement(
        "BRK-10",
        Level.MUST,
        _B,
        "messages keep their order per topic, QoS and publisher",
        "M 4.6.0-6",
    ),
    Requirement(
        "BRK-11",
        Level.MUST,
        _B,
        "RETAIN=0 stores nothing",
        "M 3.3.1-12",
    ),
    Requirement(
        "BRK-12",
        Level.MUST,
        _B,
        "overlapping filters: at least once with the highest granted QoS; several copies are allowed",
        "M 3.3.5-1",
    ),
)
