"""Files and directories that the user names for us to write: where one cannot be written, that is a mistake of one line, not a crash."""

from pathlib import Path

from harness.errors import OptionError


def made_directory(option: str, path: Path) -> Path:
    """The directory that an option names, made where it is missing. Raises OptionError where it cannot be."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OptionError(option, f"{str(path)!r} cannot be made a directory: {error.strerror or error}") from error
    return path


def write_file(option: str, path: Path, text: str) -> None:
    """Writes the file that an option names, in UTF-8. Raises OptionError where it cannot be written."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OptionError(option, f"{str(path)!r} cannot be written: {error.strerror or error}") from error
