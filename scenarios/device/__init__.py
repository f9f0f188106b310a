"""Questions to a device, one module per theme. Importing this package registers them (entry point `hil.scenarios`)."""

from scenarios.device import commands, connection, downloads, exchanges, oddities, states, transfers

__all__ = ["commands", "connection", "downloads", "exchanges", "oddities", "states", "transfers"]
