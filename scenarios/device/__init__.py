"""Questions to a device, one module per theme. Importing this package registers them (entry point `hil.scenarios`)."""

from scenarios.device import commands, downloads, exchanges, states

__all__ = ["commands", "downloads", "exchanges", "states"]
