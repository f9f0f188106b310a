"""Collects the golden stories that stand in the `golden_*.py` beside this file."""

from importlib import import_module
from pathlib import Path


def golden_stories(*, of_devices):
    """(check id, verdict, what happens) of each story about devices (`golden_device_*.py`), or of each about platforms."""
    modules = sorted(path.stem for path in Path(__file__).parent.glob("golden_*.py"))
    chosen = [name for name in modules if name.startswith("golden_device_") == of_devices]
    return [story for name in chosen for story in import_module(f"{__package__}.{name}").GOLDEN]
