"""What this machine allows: open files, and how much memory the process takes."""

import resource
from pathlib import Path

from harness.errors import ResourceMissing

SPARE_FILES = 200
"""For everything besides those sockets."""


def ensure_open_files(connections: int) -> None:
    """Raises the soft limit of open files to what so many sockets need. Raises ResourceMissing where the hard limit is lower."""
    wanted = connections + SPARE_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    if hard != resource.RLIM_INFINITY and hard < wanted:
        problem = f"{connections} connections need {wanted} open files, and this machine allows {hard}; raise it: ulimit -Hn {wanted}"
        raise ResourceMissing(problem)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def resident_bytes() -> int:
    """Memory of this process that is in RAM; 0 where the system does not say (only Linux does)."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return 0
    return pages * resource.getpagesize()
