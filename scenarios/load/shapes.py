"""How the number of users changes over a run, as tables: pure, so that a shape can be drawn and tested without a second of waiting."""

from dataclasses import dataclass

STEADY = "steady"
STEADY_S = 60.0


@dataclass(frozen=True, slots=True)
class Shape:
    """Parts of the run's time with the part of the users that is there.

    `steps`: (until this part of the run time, this part of the users), in order; the last ends at 1. `restarts_at`: the part of the run
    time at which the target's broker is restarted, so that all devices come back at once; None: it is not.
    """

    name: str
    steps: tuple[tuple[float, float], ...]
    restarts_at: float | None = None
    run_time_s: float = STEADY_S  # where the user names none


SHAPES: dict[str, Shape] = {
    shape.name: shape
    for shape in (
        Shape(STEADY, ((1.0, 1.0),)),
        Shape("ramp", tuple((step / 10, step / 10) for step in range(1, 11))),
        Shape("spike", ((0.3, 0.2), (0.6, 1.0), (1.0, 0.2))),
        Shape("soak", ((1.0, 1.0),), run_time_s=3600.0),
        Shape("reconnect-storm", ((1.0, 1.0),), restarts_at=0.5),
    )
}


def users_at(shape: Shape, elapsed_s: float, *, run_time_s: float, users: int) -> int | None:
    """How many of `users` are wanted `elapsed_s` after the start, at least one; None: the run is over."""
    part = elapsed_s / run_time_s
    for until, share in shape.steps:
        if part < until:
            return max(1, round(users * share))
    return None
