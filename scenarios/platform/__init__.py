"""Questions to a platform, one module per requirement family. Importing this package registers them (entry point `hil.scenarios`).

The lists come first, as a wrong platform may lose files by downloads; what could get us banned comes last.
"""

from scenarios.platform import lists  # isort: skip
from scenarios.platform import commands, refusals  # isort: skip
from scenarios.platform import downloads, keys, key_refusals, transfers  # isort: skip
from scenarios.platform import real_time  # isort: skip
from scenarios.platform import delivery  # isort: skip

__all__ = ["commands", "delivery", "downloads", "key_refusals", "keys", "lists", "real_time", "refusals", "transfers"]
