"""Questions to a platform, one module per requirement family. Importing this package registers them (entry point `hil.scenarios`)."""

from scenarios.platform import commands, downloads, keys, lists

__all__ = ["commands", "downloads", "keys", "lists"]
