"""Files that only their owner may read: the state directory's secret, and the target file with its tokens."""

import contextlib
from pathlib import Path

from harness.entropy import Entropy
from simulators.platform.provisioning import SECRET_BYTES


def kept_secret(path: Path, entropy: Entropy) -> bytes:
    """The secret of this state directory; drawn at its first start, by whichever process comes first."""
    with contextlib.suppress(FileExistsError):
        fresh = path.with_name(f"secret-{entropy.random_bytes(8).hex()}")
        write_private(fresh, entropy.random_bytes(SECRET_BYTES))
        try:
            if not path.exists():
                path.hardlink_to(fresh)
        finally:
            fresh.unlink()
    return path.read_bytes()


def write_private(path: Path, data: bytes) -> None:
    """Writes a file that only its owner may read, in one step: there is never half of it."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    fresh.touch(mode=0o600)
    fresh.write_bytes(data)
    fresh.replace(path)
