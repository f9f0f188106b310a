"""Firmware images of the emulated board: a program behind 64 bytes of header. Plain Python: the firmware's Makefile runs it."""

import binascii
import struct
import sys
from pathlib import Path

HEADER_BYTES = 64
LOAD_ADDRESS = 0x0020_0000
MAGIC = b"HIL1"


def pack(program: bytes, version: str) -> bytes:
    """The image: magic, size, CRC-32 and load address of the program, 32 bytes of version, zeros, the program."""
    head = struct.pack("<4sIII32s", MAGIC, len(program), binascii.crc32(program), LOAD_ADDRESS, version.encode())
    return head.ljust(HEADER_BYTES, b"\0") + program


def main(program: str, version: str, image: str) -> None:
    Path(image).write_bytes(pack(Path(program).read_bytes(), version))


if __name__ == "__main__":
    main(*sys.argv[1:])
