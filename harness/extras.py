"""The optional extras of pyproject.toml: which of them brings a library that is missing."""

_EXTRA_OF = {"qemu": "emulator", "amqtt": "amqtt", "locust": "load", "gevent": "load"}


def missing_extra(error: BaseException) -> str:
    """What is missing, and what brings it; "" where no extra does."""
    module = (error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    extra = _EXTRA_OF.get(module)
    return f"it needs {module}, of the extra hil[{extra}]: make install-dev brings it" if extra else ""
