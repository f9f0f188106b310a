"""`hil certify`: without argument the built-in platform and device certify each other; `platform` and `device` take the outside world."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from harness.errors import OptionError
from scenarios.certify.conduct import conduct
from scenarios.certify.options import CommonOptions, OfficialRun, with_common_options
from scenarios.durations import duration_s

_HELP = "Certify a platform or a device; without argument the built-in ones certify each other."

app = typer.Typer(help=_HELP, epilog="Example: hil certify --seed 7 --out reports/pair", invoke_without_command=True)


@app.callback()
@with_common_options
def certify(context: typer.Context, options: CommonOptions) -> None:
    """Certify: without a subcommand, the built-in platform and the built-in virtual device certify each other."""
    if context.invoked_subcommand is not None:
        options.require_none_before(context.invoked_subcommand)
        return
    from scenarios.certify.pair import certify_pair

    run = options.run_options()
    conduct(partial(certify_pair, run, options), run, options)


@app.command(epilog="Examples: hil certify device --device device.toml --plan; hil certify device --inventory boards.toml --all -j 2")
@with_common_options
def device(
    options: CommonOptions,
    device: Annotated[Path | None, typer.Option("--device", help="The device file.", show_default=False)] = None,
    inventory: Annotated[
        Path | None, typer.Option("--inventory", help="A boards.toml; each board in it names its device file.", show_default=False)
    ] = None,
    board: Annotated[str, typer.Option("--board", help="Which board of the inventory.")] = "",
    all_boards: Annotated[bool, typer.Option("--all", help="Every board of the inventory; ends in one matrix page.")] = False,
    jobs: Annotated[int, typer.Option("-j", "--jobs", min=1, help="With --all: how many boards side by side.")] = 1,
    wait_for_board: Annotated[
        str, typer.Option("--wait-for-board", help="How long to wait for a board that another job has leased, as 90s, 20m or 1h.")
    ] = "",
    official: OfficialRun = False,
) -> None:
    """Certify a device: a process, one that connects by itself, or a board; or all boards of an inventory."""
    from scenarios.certify.boards import certify_all, chosen_board
    from scenarios.certify.device import certify_board, certify_device

    if (device is None) is (inventory is None):
        raise OptionError("--device", "either a device file or an inventory is wanted")
    if inventory is None and (board or all_boards):
        raise OptionError("--inventory", "--board and --all choose from an inventory: none is given")
    wait_s = duration_s("--wait-for-board", wait_for_board) if wait_for_board else 0.0
    options = replace(options, official=official)
    run = options.run_options()
    if device is not None:
        conduct(partial(certify_device, device, wait_s, run, options), run, options)
    elif inventory is not None and all_boards:
        raise typer.Exit(certify_all(inventory, board, jobs, wait_for_board, run, options))
    elif inventory is not None:
        path, entry = chosen_board(inventory, board)
        conduct(partial(certify_board, path, entry, wait_s, run, options), run, options)


@app.command(epilog="Example: hil certify platform --target target.toml --only KEY,CMD-15 --budget 20m")
@with_common_options
def platform(options: CommonOptions, target: Annotated[Path, typer.Option("--target", help="The target file of the platform.")]) -> None:
    """Certify a platform that runs somewhere else, as a black box."""
    from scenarios.certify.platform import certify_platform

    run = options.run_options()
    conduct(partial(certify_platform, target, run, options), run, options)
