"""What is plugged in: the serial ports of this machine and their USB identity, without opening any of them."""

from dataclasses import dataclass

from serial.tools import list_ports

from harness.bench.serial.inventory import UsbIdentity
from harness.bench.serial.ports import PortAbsent
from harness.errors import BenchError


@dataclass(frozen=True, slots=True)
class PluggedPort:
    """One serial port of this machine; the USB facts are empty where it has none."""

    path: str
    description: str
    vid: str
    pid: str
    serial: str
    location: str

    def fits(self, wanted: UsbIdentity) -> bool:
        """Whether this is the board that the inventory means; what it leaves out fits everything."""
        same_product = (self.vid, self.pid) == (wanted.vid.lower(), wanted.pid.lower())
        return same_product and wanted.serial in (None, self.serial) and wanted.location in (None, self.location)


def plugged_ports() -> tuple[PluggedPort, ...]:
    """All serial ports, by path."""
    return tuple(
        PluggedPort(
            found.device,
            found.description or "",
            "" if found.vid is None else f"{found.vid:04x}",
            "" if found.pid is None else f"{found.pid:04x}",
            found.serial_number or "",
            found.location or "",
        )
        for found in sorted(list_ports.comports())
    )


def port_of(wanted: UsbIdentity, ports: tuple[PluggedPort, ...]) -> str:
    """The path of the one port that fits. Raises PortAbsent, or BenchError where several do."""
    fitting = [port.path for port in ports if port.fits(wanted)]
    if len(fitting) > 1:
        raise BenchError(f"{', '.join(fitting)} all fit {wanted.vid}:{wanted.pid}; name `serial` or `location` too")
    if not fitting:
        raise PortAbsent(f"no such port: nothing plugged in is {wanted.vid}:{wanted.pid} {wanted.serial or wanted.location or ''}".rstrip())
    return fitting[0]
