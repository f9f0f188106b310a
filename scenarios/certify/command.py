"""`hil certify`: without argument the built-in platform and device certify each other; `platform` and `device` take the outside world."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from scenarios.certify.conduct import conduct
from scenarios.certify.options import Budget, CommonOptions, Expect, Json, Only, Out, PlanOnly, Profile, Rerun, Seed, Skip

app = typer.Typer(help=__doc__, invoke_without_command=True)


@app.callback()
def certify(
    context: typer.Context,
    profile: Profile = "quick",
    out: Out = None,
    only: Only = "",
    skip: Skip = "",
    plan: PlanOnly = False,
    seed: Seed = None,
    json: Json = False,
    budget: Budget = "",
    rerun: Rerun = None,
    expect: Expect = None,
) -> None:
    """Certify: without a subcommand, the built-in platform and the built-in virtual device certify each other."""
    if context.invoked_subcommand is not None:
        return
    from scenarios.certify.pair import certify_pair

    options = CommonOptions(profile, out, only, skip, plan, seed, json, budget, rerun, expect)
    run = options.run_options()
    conduct(partial(certify_pair, run, options), run, options)


@app.command()
def device(
    device: Annotated[Path, typer.Option("--device", help="The device file.")],
    profile: Profile = "quick",
    out: Out = None,
    only: Only = "",
    skip: Skip = "",
    plan: PlanOnly = False,
    seed: Seed = None,
    json: Json = False,
    budget: Budget = "",
    rerun: Rerun = None,
    expect: Expect = None,
) -> None:
    """Certify a device: a process, one that connects by itself, or a board."""
    from scenarios.certify.device import certify_device

    options = CommonOptions(profile, out, only, skip, plan, seed, json, budget, rerun, expect)
    run = options.run_options()
    conduct(partial(certify_device, device, run, options), run, options)


@app.command()
def platform(
    target: Annotated[Path, typer.Option("--target", help="The target file of the platform.")],
    profile: Profile = "quick",
    out: Out = None,
    only: Only = "",
    skip: Skip = "",
    plan: PlanOnly = False,
    seed: Seed = None,
    json: Json = False,
    budget: Budget = "",
    rerun: Rerun = None,
    expect: Expect = None,
) -> None:
    """Certify a platform that runs somewhere else, as a black box."""
    from scenarios.certify.platform import certify_platform

    options = CommonOptions(profile, out, only, skip, plan, seed, json, budget, rerun, expect)
    run = options.run_options()
    conduct(partial(certify_platform, target, run, options), run, options)
