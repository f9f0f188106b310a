"""The configurations that a device under test is sent: those that its device file calls legal, or objects of our own."""

from harness.bench.device_file import Device
from harness.wire.commands import configuration_payload

_COUNT = 8
# Neighbours differ in a key, so that merging them can be told from replacing.
_KEYS = ("threshold", "reporting_interval")
# Values of every kind; numbers that every binary format holds exactly.
_RICH: tuple[dict[str, object], ...] = (
    {"offset": -1.5, "interval_s": 70_000, "is_enabled": False},
    {"Name": "Küche, 2. Stock: neben dem größten Fenster", "unit": "", "suffix": " °C "},
    {"note": 'called "the 3/4 room"\t(€ 5, 𝄞)\n\\attic', "code": "007"},
    {"limits": {"low": 10, "high": {"day": 25, "night": 18}}, "steps": [7, 2.5, {"at": "noon"}, 0.0625, 12, 13]},
    {f"channel_{number}": number for number in range(12)},
)


def legal_configurations(device: Device) -> tuple[dict[str, object], ...]:
    """The declared configurations, or small objects of our own, all different."""
    if device.configurations:
        return tuple(configuration.data for configuration in device.configurations)
    return tuple({"sampling_rate": 60 + number, _KEYS[number % 2]: 30 - number} for number in range(_COUNT))


def rich_configurations(device: Device) -> tuple[dict[str, object], ...]:
    """Configurations with texts, fractions, booleans, objects and lists, as far as what we make up is legal and fits."""
    if device.configurations:
        return ()
    return tuple(rich for rich in _RICH if len(configuration_payload(rich)) <= device.declares.max_payload_bytes)
