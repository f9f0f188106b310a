"""`hil key`: the key that signs this bench's packages, and the keys that its user trusts."""

from typing import Annotated

import typer

from harness.report.keys import SIGNING_KEY_FILE, create_key, keys_directory, known_keys, load_key, public_key_text, remember_key
from harness.report.signature import fingerprint_of

app = typer.Typer(help="The signing key of this bench.", no_args_is_help=True)


@app.command(epilog="Example: hil key init")
def init() -> None:
    """Makes the signing key of this bench; one that exists is kept."""
    directory = keys_directory()
    existed = (directory / SIGNING_KEY_FILE).exists()
    key = create_key(directory)
    typer.echo(f"{'kept' if existed else 'made'} the signing key in {directory}", err=True)
    typer.echo(fingerprint_of(key.public_key()))


@app.command(epilog="Example: hil key public > our-bench.pem")
def public() -> None:
    """Prints the public key, for those who verify this bench's packages (`hil report verify --key FILE`)."""
    typer.echo(public_key_text(load_key(keys_directory())), nl=False)


@app.command(epilog="Example: hil key trust 0123456789abcdef0123456789abcdef 'ACME'")
def trust(
    fingerprint: Annotated[str, typer.Argument(help="32 hexadecimal digits, as their holder told you.")],
    name: Annotated[str, typer.Argument(help="Whose key it is.")],
) -> None:
    """Enters somebody's key as known, so that their packages verify."""
    remember_key(keys_directory(), fingerprint.lower(), name)
    typer.echo(f"packages signed by {fingerprint.lower()} are now known as {name}'s", err=True)


@app.command("list", epilog="Example: hil key list")
def list_keys() -> None:
    """Prints the known keys."""
    for fingerprint, name in known_keys(keys_directory()).items():
        typer.echo(f"{fingerprint} {name}")
