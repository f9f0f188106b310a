"""Report packages over nights: a page with charts for people, OpenMetrics for machines."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from markupsafe import Markup
from prometheus_client.core import CollectorRegistry, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.exposition import generate_latest

from harness.checks.verdict import BADNESS, NEEDS_A_REASON, RunVerdict, Verdict
from harness.errors import ConfigurationError
from harness.report.charts import Bar, line, stacked_bars
from harness.report.html import templates
from harness.report.package import REPORT_FILE, Report, read_report

TREND_FILE = "trend.html"
METRICS_FILE = "metrics.openmetrics"

_STACK = tuple(Verdict)  # from the bottom of a bar to its top


@dataclass(frozen=True, slots=True)
class CheckOverRuns:
    """One check over all runs of a subject; None where a run does not have it."""

    id: str
    title: str
    verdicts: tuple[Verdict | None, ...]

    @property
    def changes(self) -> int:
        """How often its verdict was another than that of the last run in which it was asked."""
        seen = [verdict for verdict in self.verdicts if verdict in BADNESS]
        return sum(earlier is not later for earlier, later in pairwise(seen))


@dataclass(frozen=True, slots=True)
class SubjectTrend:
    """The runs of one subject, oldest first."""

    kind: str
    name: str
    runs: tuple[Report, ...]

    def eventful_checks(self) -> list[CheckOverRuns]:
        """The checks that were ever not well, or whose verdict changed; the most restless first."""
        titles = {check.id: check.title for run in self.runs for check in run.checks}
        by_run = [{check.id: check.verdict for check in run.checks} for run in self.runs]
        checks = [CheckOverRuns(id_, title, tuple(run.get(id_) for run in by_run)) for id_, title in titles.items()]
        eventful = [check for check in checks if check.changes or {*check.verdicts} & {*NEEDS_A_REASON}]
        return sorted(eventful, key=lambda check: (-check.changes, check.id))


def read_runs(directory: Path) -> tuple[list[Report], list[str]]:
    """All reports of `directory` and the directories in it, oldest first, each run once; and what could not be read.

    Raises ConfigurationError where there is none.
    """
    runs, problems = {}, []
    for path in sorted([directory / REPORT_FILE, *directory.glob(f"*/{REPORT_FILE}")]):
        if not path.is_file():
            continue
        try:
            report = read_report(path)
        except ConfigurationError as error:
            problems.append(str(error))
        else:
            runs[report.run.id] = report
    if not runs:
        raise ConfigurationError(str(directory), "", "", f"holds no readable report package{': ' + problems[0] if problems else ''}")
    return sorted(runs.values(), key=lambda report: report.run.started_at), problems


def subject_trends(runs: Iterable[Report]) -> list[SubjectTrend]:
    """The runs by subject, in the order in which the subjects first appeared."""
    by_subject: dict[tuple[str, str], list[Report]] = {}
    for run in runs:
        by_subject.setdefault((run.subject.kind, run.subject.name), []).append(run)
    return [SubjectTrend(kind, name, tuple(members)) for (kind, name), members in by_subject.items()]


def as_trend_page(runs: Iterable[Report]) -> str:
    """The page; every chart stands in it."""
    subjects = [(trend, [Markup(chart) for chart in charts(trend)]) for trend in subject_trends(runs)]
    return templates().get_template("trend.html").render(subjects=subjects)


def charts(trend: SubjectTrend) -> Iterator[str]:
    """Verdicts, coverage and duration over the runs."""
    bars = [Bar(_label(run), tuple(_parts(run))) for run in trend.runs]
    yield stacked_bars("Checks by verdict", bars)
    covered = [(_label(run), float(len(run.coverage.covered)), f"{run.run.id}: {len(run.coverage.covered)} covered") for run in trend.runs]
    yield line("Requirements covered", covered)
    yield line(
        "Duration in seconds", [(_label(run), run.run.duration_s, f"{run.run.id}: {run.run.duration_s:.1f} s") for run in trend.runs]
    )


def _parts(run: Report) -> Iterator[tuple[str, float, str]]:
    counts = run.counts()
    for verdict in _STACK:
        if verdict in counts:
            yield verdict.value, counts[verdict], f"{run.run.id}: {counts[verdict]} {verdict.value}"


def _label(run: Report) -> str:
    return f"{run.run.started_at:%m-%d %H:%M}"


def as_openmetrics(runs: Iterable[Report]) -> str:
    """Every run's figures with its own time, for a scraper or a backfill. Source: OpenMetrics 1.0."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Runs(tuple(runs)))
    text: bytes = generate_latest(registry)  # type: ignore[no-untyped-call]
    return text.decode()


class _Runs:
    """The reports as prometheus_client wants to be asked for them."""

    def __init__(self, runs: tuple[Report, ...]) -> None:
        self._trends = subject_trends(runs)

    def collect(self) -> Iterator[Metric]:
        checks = GaugeMetricFamily("hil_checks", "Checks of a run by verdict", labels=("kind", "subject", "verdict"))
        covered = GaugeMetricFamily("hil_requirements_covered", "Requirements that a run covered", labels=("kind", "subject"))
        duration = GaugeMetricFamily("hil_run_duration_seconds", "How long a run took", labels=("kind", "subject"))
        green = GaugeMetricFamily("hil_run_green", "1 where nothing applicable failed, else 0", labels=("kind", "subject"))
        for trend in self._trends:
            labels = [trend.kind, trend.name]
            # A series' points must stand together and in order of time.
            for verdict in _STACK:
                for run in trend.runs:
                    checks.add_metric([*labels, verdict.value], run.counts().get(verdict, 0), timestamp=_time(run))
            for run in trend.runs:
                covered.add_metric(labels, len(run.coverage.covered), timestamp=_time(run))
                duration.add_metric(labels, run.run.duration_s, timestamp=_time(run))
                green.add_metric(labels, run.verdict in (RunVerdict.PASS, RunVerdict.PASS_WITH_WARNINGS), timestamp=_time(run))
        yield from (checks, covered, duration, green)


def _time(run: Report) -> float:
    return run.run.started_at.timestamp()
