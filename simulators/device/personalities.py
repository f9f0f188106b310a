"""The devices that `hil device --personality` knows, by name: the reference, the wrong ones, the imitations of real stacks."""

from simulators.device.imitations import IMITATIONS
from simulators.device.personality import REFERENCE, Personality
from simulators.device.wrong_commands import WRONG_COMMANDS
from simulators.device.wrong_downloads import WRONG_DOWNLOADS
from simulators.device.wrong_exchanges import WRONG_EXCHANGES
from simulators.device.wrong_sessions import WRONG_SESSIONS

WRONG_DEVICES: tuple[Personality, ...] = (*WRONG_SESSIONS, *WRONG_EXCHANGES, *WRONG_COMMANDS, *WRONG_DOWNLOADS)
"""Each is wrong in one decision; certification must report all of its `breaks` and nothing outside `breaks` and `also`."""

PERSONALITIES: dict[str, Personality] = {personality.name: personality for personality in (REFERENCE, *WRONG_DEVICES, *IMITATIONS)}
