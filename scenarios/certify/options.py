"""The options that all forms of `hil certify` share, and what they come to."""

import inspect
import os
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, get_origin

import typer

from harness.certification import RunOptions
from harness.checks.registry import names_of_checks
from harness.checks.verdict import Verdict
from harness.cli import Verbose
from harness.clock import Clock, SystemClock, rfc3339
from harness.entropy import SystemEntropy
from harness.errors import ConfigurationError, OptionError
from harness.report.expectations import read_expectations
from harness.report.keys import create_key, keys_directory
from harness.report.official import refuse_options
from harness.report.package import REPORT_FILE, read_report
from harness.requirements import CATALOGUE, FAMILIES
from harness.runner import Selection
from scenarios.durations import duration_s

PROFILES = ("quick", "full")
ANNOTATIONS = ("auto", "github", "none")
_SEED_MAX = 2**32 - 1

# What `--rerun` asks again.
NOT_GREEN = (Verdict.FAIL, Verdict.ERROR, Verdict.INCONCLUSIVE, Verdict.WARNING, Verdict.DEVIATION)

_ASKED = "What is asked"
_JUDGED = "How it ends"
_OUTPUT = "Output"

Profile = Annotated[str, typer.Option("--profile", help="quick or full: full adds what needs real minutes.", rich_help_panel=_ASKED)]
Out = Annotated[
    Path | None,
    typer.Option("--out", help="Directory of the report package (default: reports/<run id>).", show_default=False, rich_help_panel=_OUTPUT),
]
Only = Annotated[
    str | None,
    typer.Option(
        "--only",
        help="Ids of requirements or checks, or families as KEY, separated by commas: nothing else is asked.",
        show_default=False,
        rich_help_panel=_ASKED,
    ),
]
Skip = Annotated[
    str | None,
    typer.Option(
        "--skip",
        help="Ids of requirements or checks, or families as KEY, separated by commas: these are not asked.",
        show_default=False,
        rich_help_panel=_ASKED,
    ),
]
PlanOnly = Annotated[
    bool, typer.Option("--plan", help="Print what would be asked and how long it takes; send nothing.", rich_help_panel=_ASKED)
]
Seed = Annotated[
    int | None,
    typer.Option("--seed", min=0, max=_SEED_MAX, help="Seed of all chance in this run.", show_default=False, rich_help_panel=_ASKED),
]
Budget = Annotated[
    str,
    typer.Option(
        "--budget", help="Longest time, as 90s, 20m or 1h30m: the least important checks are left out, and named.", rich_help_panel=_ASKED
    ),
]
Rerun = Annotated[
    Path | None,
    typer.Option(
        "--rerun",
        help="A report package: only what was not green there is asked; the rest is kept.",
        show_default=False,
        rich_help_panel=_ASKED,
    ),
]
Expect = Annotated[
    Path | None,
    typer.Option(
        "--expect", help="TOML file of known failures, which do not turn the exit status red.", show_default=False, rich_help_panel=_JUDGED
    ),
]
OfficialRun = Annotated[
    bool,
    typer.Option(
        "--official",
        help="A certificate for others: the whole plan, every MUST passed; or a list of what is missing.",
        rich_help_panel=_JUDGED,
    ),
]
Annotate = Annotated[
    str,
    typer.Option(
        "--annotate",
        help="github, none, or auto: what is not well as annotations of the run, where GITHUB_ACTIONS says so.",
        rich_help_panel=_OUTPUT,
    ),
]
Json = Annotated[
    bool, typer.Option("--json", help="Print report.json on standard output, everything else on standard error.", rich_help_panel=_OUTPUT)
]


@dataclass(frozen=True, slots=True)
class CommonOptions:
    """The options as the user gave them: each annotated field is one of the command line. Only a device's certificate is `official`."""

    profile: Profile = "quick"
    out: Out = None
    only: Only = None
    skip: Skip = None
    plan: PlanOnly = False
    seed: Seed = None
    json: Json = False
    budget: Budget = ""
    rerun: Rerun = None
    expect: Expect = None
    annotate: Annotate = "auto"
    verbose: Verbose = 0  # It has acted while it was read.
    official: bool = False

    @property
    def annotates_github(self) -> bool:
        """Whether GitHub's workflow commands are wanted."""
        return self.annotate == "github" or (self.annotate == "auto" and os.environ.get("GITHUB_ACTIONS") == "true")

    def run_options(self, clock: Clock | None = None) -> RunOptions:
        """What the run needs of them. Raises ConfigurationError for a profile or an id that does not exist."""
        if self.profile not in PROFILES:
            raise OptionError("--profile", f"{self.profile!r} is none of {', '.join(PROFILES)}")
        if self.annotate not in ANNOTATIONS:
            raise OptionError("--annotate", f"{self.annotate!r} is none of {', '.join(ANNOTATIONS)}")
        if self.expect is not None:
            read_expectations(self.expect)  # A mistake in it is told before anything is sent.
        if self.out is not None and (self.out / REPORT_FILE).exists():
            raise OptionError("--out", f"{str(self.out)!r} holds a report already; name another directory")
        if self.official:
            self._require_official_plan()
        seed = SystemEntropy().integer(0, _SEED_MAX) if self.seed is None else self.seed
        stamp = rfc3339((clock or SystemClock()).utc_s()).replace("-", "").replace(":", "").replace("T", "-").rstrip("Z")
        run_id = f"{stamp}-{seed:08x}"
        budget_s = duration_s("--budget", self.budget) if self.budget else None
        return RunOptions(
            run_id=run_id,
            command=_command_line(seed),
            seed=seed,
            out=self.out if self.out is not None else Path("reports") / run_id,
            selection=Selection(self.profile, self._asked_for(), _ids("--skip", self.skip), budget_s),
        )

    def require_none_before(self, subcommand: str) -> None:
        """Raises OptionError where one was given before the subcommand, which reads its own."""
        for field in fields(self):
            if field.name != "verbose" and getattr(self, field.name) != field.default:
                raise OptionError(f"--{field.name}", f"stands before `{subcommand}`, which would not see it: options go behind it")

    def _require_official_plan(self) -> None:
        """Raises ConfigurationError where another plan is asked for, the package could not be signed, or would hold other files."""
        narrowing = {"--only": self.only, "--skip": self.skip, "--budget": self.budget, "--expect": self.expect}
        refuse_options({option: bool(value) for option, value in narrowing.items()})
        create_key(keys_directory())
        if self.out is not None and self.out.is_dir() and any(self.out.iterdir()):
            raise OptionError("--out", f"{str(self.out)!r} is not empty: an official package holds nothing else")

    def _asked_for(self) -> frozenset[str]:
        """What `--only` names; with `--rerun`, what of it was not green there."""
        only = _ids("--only", self.only)
        if self.rerun is None:
            return only
        red = {check.id for check in read_report(self.rerun).checks if check.verdict in NOT_GREEN}
        if not red:
            raise ConfigurationError(str(self.rerun), "", "", "everything that was asked there is green: nothing to run again")
        return frozenset(red & only if only else red)


def with_common_options(command: Callable[..., None]) -> Callable[..., None]:
    """The command with the options of CommonOptions behind its own, for typer to read; it gets them as its argument `options`."""
    common = [field for field in inspect.signature(CommonOptions).parameters.values() if get_origin(field.annotation) is Annotated]
    own = [parameter for parameter in inspect.signature(command).parameters.values() if parameter.name != "options"]
    parameters = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in (*own, *common)]

    @wraps(command)
    def typed(**given: Any) -> None:
        options = CommonOptions(**{field.name: given.pop(field.name) for field in common})
        command(**given, options=options)

    typed.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    typed.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return typed


def _ids(option: str, text: str | None) -> frozenset[str]:
    if text is None:
        return frozenset()
    names = frozenset(name.strip() for name in text.split(",")) - {""}
    if not names:
        raise OptionError(option, f"{text!r} names nothing; leave the option out to ask everything")
    families = names & FAMILIES.keys()
    names = names - families
    for name in sorted(names - names_of_checks()):
        raise OptionError(option, f"{name!r} is no requirement, check or family ({', '.join(FAMILIES)}) of this version")
    return names | {id_ for id_ in CATALOGUE if id_[:3] in families}


def _command_line(seed: int) -> str:
    """The command that does the same again: as typed, with the seed that was drawn."""
    words = ["hil", *sys.argv[1:]]
    if not any(word == "--seed" or word.startswith("--seed=") for word in words):
        words += ["--seed", str(seed)]
    return shlex.join(words)
