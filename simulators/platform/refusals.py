"""A refusal: the decision not to do what was asked, as a status and a sentence."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is not served. `status` is the HTTP status, `code` a stable word for programs.   Source: CMD-17."""

    status: int
    code: str
    message: str
