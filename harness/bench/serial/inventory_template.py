"""The commented boards.toml that `hil board init` writes for one board."""

import json

from harness.bench.serial.ports import LinkKind
from harness.bench.serial.usb import PluggedPort

_TEMPLATE = """\
# The boards of this bench. `hil board probe --inventory {file}` says whether it can be reached.
# The same keys, without `name`, may stand in [device.run.serial] of a device file.

[[boards]]
name = "{name}"

# Where it is: exactly one of url, usb, emulator.
{place}
# url = "/dev/serial/by-id/usb-…"     # or whatever pyserial takes: socket://host:port, rfc2217://host:port
# usb = {{ vid = "0483", pid = "374b", serial = "…", location = "1-1.2" }}     # all that is given must fit; `hil board list` prints it
# emulator = "mps2-an385"             # a board in QEMU: real firmware, no hardware

# device = "device.toml"              # what it claims: for `hil certify device --inventory {file} --all`
{agent}baud = 115200                         # bits per second, 8 data bits, no parity, 1 stop bit
link = "{link}"                       # bridge: the framed link (simulators/board/LINK.md); network: the board has its own network;
                                      # raw-repl: MicroPython
# pace_bytes = 32                     # for a small receive ring: so many bytes at a time,
# pace_gap_s = 0.005                  # with this pause between
# return_s = 5.0                      # how long the port may be away after a reset (USB boards enumerate again)
# boot_s = 10.0                       # longest time from reset to the first sign of life
# answer_s = 10.0                     # longest time to take a command

# What its log lines mean: event name = regular expression, searched in each line; named groups become values.
[boards.patterns]
boot = "Booting v(?P<version>[0-9.]+)"

# How it is reset: modem-lines (DTR and RTS, as most USB bridges wire them), shell, emulator, none.
[boards.reset]
method = "none"
# method = "modem-lines"
# sequence = ["dtr off", "rts on", "wait 0.1", "rts off", "dtr on"]
# method = "shell"
# command = "st-flash reset"

# How its supply is cut: shell, emulator, none. Power-cut tests need it.
[boards.power]
method = "none"
# method = "shell"
# off = "uhubctl -l 1-1 -p 2 -a off"
# on = "uhubctl -l 1-1 -p 2 -a on"

# Network boards: what is typed before the board can connect. Fields: device_id, token, mqtt_host, mqtt_port, api_url.
# [boards.provision]
# lines = ["set id {{device_id}}", "set token {{token}}", "set broker {{mqtt_host}}:{{mqtt_port}}", "connect"]
# expect = "ok"                       # must appear after each line
"""


def inventory_text(name: str, url: str, link: LinkKind, ports: tuple[PluggedPort, ...], *, file: str = "boards.toml") -> str:
    """The file for a board at `url`, or for the one USB board that is plugged in, or with a place to fill in."""
    return _TEMPLATE.format(name=name, place=_place(url, ports), link=link.value, file=file, agent=_agent(link))


def _agent(link: LinkKind) -> str:
    return (
        'agent = "agent.micropython"            # put it beside this file: what executes commands on the board\n'
        if link is LinkKind.RAW_REPL
        else ""
    )


def _place(url: str, ports: tuple[PluggedPort, ...]) -> str:
    usb = [port for port in ports if port.vid]
    if url or not usb:
        return f"url = {json.dumps(url or '/dev/ttyACM0')}"
    found = usb[0]
    serial = f', serial = "{found.serial}"' if found.serial else ""
    return f'usb = {{ vid = "{found.vid}", pid = "{found.pid}"{serial} }}     # {found.description} at {found.path}'
