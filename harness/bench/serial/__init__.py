"""Boards over a serial line: what is plugged in, who may use it, its console, its reset button, its supply, and the link to it."""
