"""The instrument: drives a bench, records what happened, judges it. Knows no simulator."""

__version__ = "0.1.0"
