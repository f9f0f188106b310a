"""Who misses an optional library is told how to install it."""

import pytest

from harness.extras import missing_extra


@pytest.mark.parametrize(
    ("module", "extra"), [("qemu.qmp", "hil[emulator]"), ("amqtt.broker", "hil[amqtt]"), ("locust", "hil[load]"), ("gevent", "hil[load]")]
)
def test_the_extra_that_brings_a_missing_library_is_named(module, extra):
    assert missing_extra(ModuleNotFoundError(f"No module named {module!r}", name=module)) == (
        f"it needs {module.partition('.')[0]}, of the extra {extra}: make install-dev brings it"
    )


@pytest.mark.parametrize("error", [ModuleNotFoundError("No module named 'x'", name="x"), ModuleNotFoundError("?"), ValueError("locust")])
def test_other_errors_name_no_extra(error):
    assert missing_extra(error) == ""
