"""The login of an operator at a broker: who may publish commands to every device, as `hil platform` leaves it for `hil fleet`.

A file beside the target file, so that the target file stays what interfaces.md says and is recorded in a history without one more secret.
"""

import json
from dataclasses import asdict
from pathlib import Path

from harness.errors import ConfigurationError
from simulators.broker.port import Login

OPERATOR_FILE = "operator.json"


def operator_json(username: str, password: str) -> bytes:
    """The file's content. Any client id may be used with it."""
    return json.dumps(asdict(Login("operator", username, password, is_trusted=True))).encode()


def operator_beside(target_path: Path) -> Login | None:
    """The login that lies beside a target file; None where there is none. Raises ConfigurationError for a file that cannot be read."""
    path = target_path.with_name(OPERATOR_FILE)
    try:
        return Login(**json.loads(path.read_bytes()))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise ConfigurationError(str(path), "", "", f"is no operator's login: {error}") from error
