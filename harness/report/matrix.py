"""Several report packages side by side: which board kept which promise. A page for people, `matrix.json` for machines.

A board whose run ended without a report is there too, with what it said instead: that is an error of the bench, never a verdict on it.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from harness.checks.verdict import RUN_BADNESS, RunVerdict, Verdict
from harness.report.html import templates
from harness.report.package import Report
from harness.requirements import CATALOGUE, Side

SCHEMA = "hil-matrix/1"
MATRIX_PAGE = "matrix.html"
MATRIX_FILE = "matrix.json"


@dataclass(frozen=True, slots=True)
class Column:
    """One board. `report` is None where its run ended without one; `trouble` then says why. `package` is relative to the page."""

    name: str
    package: Path
    report: Report | None = None
    trouble: str = ""

    @property
    def verdict(self) -> RunVerdict:
        return RunVerdict.ERROR if self.report is None else self.report.verdict

    @property
    def page(self) -> str:
        return f"{self.package.as_posix()}/report.html" if self.report is not None else ""


@dataclass(frozen=True, slots=True)
class Row:
    """One check over all boards; None where a board's plan does not have it."""

    id: str
    title: str
    requirements: tuple[str, ...]
    verdicts: tuple[Verdict | None, ...]


@dataclass(frozen=True, slots=True)
class Matrix:
    """All boards of a bench, in the order of its inventory."""

    columns: tuple[Column, ...]

    @property
    def verdict(self) -> RunVerdict:
        """The worst of them; no board at all is INCONCLUSIVE."""
        return max((column.verdict for column in self.columns), key=RUN_BADNESS.index, default=RunVerdict.INCONCLUSIVE)

    def rows(self) -> list[Row]:
        """Every check of a device that some board was, or could have been, asked, in the reports' order."""
        found = {check.id: check for column in self.columns if column.report for check in column.report.checks}
        by_column = [{check.id: check.verdict for check in column.report.checks} if column.report else {} for column in self.columns]
        return [
            Row(id_, check.title, check.requirements, tuple(verdicts.get(id_) for verdicts in by_column))
            for id_, check in found.items()
            if _is_about_devices(check.requirements)
        ]


def _is_about_devices(requirements: Iterable[str]) -> bool:
    """The broker's own rows are the same for every board: they stand in the reports."""
    return any(Side.DEVICE in CATALOGUE[requirement].sides for requirement in requirements if requirement in CATALOGUE)


def as_matrix_page(matrix: Matrix) -> str:
    """The page, without any other file or network."""
    return templates().get_template("matrix.html").render(matrix=matrix)


def as_matrix_json(matrix: Matrix) -> str:
    """The same for programs."""
    boards = [
        {"name": column.name, "verdict": column.verdict.value, "package": column.package.as_posix(), "trouble": column.trouble}
        for column in matrix.columns
    ]
    checks = [
        {
            "id": row.id,
            "requirements": row.requirements,
            "verdicts": {
                column.name: verdict.value for column, verdict in zip(matrix.columns, row.verdicts, strict=True) if verdict is not None
            },
        }
        for row in matrix.rows()
    ]
    return json.dumps({"schema": SCHEMA, "verdict": matrix.verdict.value, "boards": boards, "checks": checks}, indent=1) + "\n"
