"""Our C firmware on an emulated mps2-an385, driven over the real link."""

import asyncio
import hashlib
import json

import pytest

pytestmark = [pytest.mark.qemu, pytest.mark.slow]
URL = {"url": "http://127.0.0.1:1/v2/device/download?key=k", "file_name": "app.bin"}


def with_a_flipped_bit(image: bytes) -> bytes:
    """An image that its own CRC betrays."""
    middle = len(image) // 2
    return image[:middle] + bytes([image[middle] ^ 0x10]) + image[middle + 1 :]


def test_configuration_outlives_reboot_and_power_cut_until_reset(mps2) -> None:
    async def story() -> list[object]:
        seen = []
        async with mps2() as board:
            await board.ask("configuration", {"threshold": 30, "nested": {"a": [1, "~é\n"]}})
            await board.ask("reboot")
            await board.sees("Booting")
            seen.append((await board.ask("send_configuration"))["configuration"])
        async with mps2() as board:
            seen.append((await board.ask("send_configuration", {"keys": ["threshold", "unknown"]}))["configuration"])
            await board.ask("reset")
            seen.append((await board.ask("send_configuration"))["configuration"])
        return seen

    whole = {"threshold": 30, "nested": {"a": [1, "~é\n"]}}
    assert asyncio.run(story()) == [whole, {"threshold": 30}, {"sampling_rate": 300}]


def test_an_image_is_installed_and_boots_next_and_the_old_one_stays_when_it_is_damaged(mps2, image, body, tmp_path) -> None:
    new = image("1.1.0")

    async def story() -> list[object]:
        async with mps2() as board:
            board.world.bodies = [body(new)]
            result = await board.ask("download_firmware", URL)
            await board.ask("reboot")
            first = await board.sees(r"Booting v1\.1\.0 .*image A")
        flash = bytearray((tmp_path / "mps2" / "flash.bin").read_bytes())
        flash[4096 + 5_000] ^= 1
        (tmp_path / "mps2" / "flash.bin").write_bytes(flash)
        async with mps2() as board:
            return [result, bool(first), board.world.urls, await board.sees("Booting")]

    result, booted, _, banner = asyncio.run(story())
    assert (result["success"], result["size"], result["sha256"]) == (True, len(new), hashlib.sha256(new).hexdigest())
    assert booted
    assert banner == "Booting v1.0.0 on mps2-an385, image factory"


def test_two_updates_use_both_slots(mps2, image, body) -> None:
    async def story() -> list[str]:
        banners = []
        async with mps2() as board:
            board.world.bodies = [body(image("1.1.0")), body(image("1.2.0"))]
            for banner in (r"1\.1\.0.*image A", r"1\.2\.0.*image B"):
                assert (await board.ask("download_firmware", URL))["success"]
                await board.ask("reboot")
                banners.append(await board.sees(banner))
        return banners

    assert len(asyncio.run(story())) == 2


@pytest.mark.parametrize(
    ("make_body", "message"),
    [
        (lambda body, image: body(with_a_flipped_bit(image)), "the image's CRC does not fit"),
        (lambda body, image: body(image[:-1]), "an image for another memory or of another size"),
        (lambda body, image: body(b"\x00" * 4_000), "no image for this board"),
        (lambda body, image: body(image, announced=len(image) + 1), "the download ended early"),
        (lambda body, image: body(image, break_at=3_072), "the download ended early"),
        (lambda body, image: body(b'{"success":false}', status=401), "the platform refused the download"),
        (lambda body, image: body(b"", status=0), "no response to the download"),
    ],
)
def test_what_is_no_whole_image_is_not_installed(mps2, image, body, make_body, message) -> None:
    async def story() -> list[object]:
        async with mps2() as board:
            board.world.bodies = [make_body(body, image("1.1.0"))]
            result = await board.ask("download_firmware", URL)
            await board.ask("reboot")
            await board.sees("rebooting")
            await board.ask("send_configuration")
            return [result["success"], result["message"], board.world.about["slot"]]

    assert asyncio.run(story()) == [False, message, "factory"]


@pytest.mark.parametrize("raw", [b"\xff\xfe\x00", b"{", b"[]", b'{"a":1}x', b"null", b'{"a":' * 30, b'{"a":"\xed\xa0\x80"}'])
def test_a_payload_that_is_no_object_is_refused_and_the_board_goes_on(mps2, raw: bytes) -> None:
    async def story() -> list[object]:
        async with mps2() as board:
            refused = await board.ask("configuration", raw=raw)
            return [refused["success"], (await board.ask("send_configuration"))["configuration"]]

    assert asyncio.run(story()) == [False, {"sampling_rate": 300}]


def test_a_payload_of_four_kilobytes_is_kept(mps2) -> None:
    big = {"text": "x" * 4_000, "é": "ü" * 40}

    async def story() -> object:
        async with mps2() as board:
            await board.ask("configuration", raw=json.dumps(big, ensure_ascii=False, indent=2).encode())
            return (await board.ask("send_configuration"))["configuration"]

    assert asyncio.run(story()) == big


def test_an_unknown_command_and_a_second_download_get_their_results(mps2, image, body) -> None:
    class Slow(body):
        async def read(self, size_bytes: int) -> bytes:
            await asyncio.sleep(0.3)
            return await super().read(size_bytes)

    async def story() -> list[tuple[str, bool]]:
        async with mps2() as board:
            board.world.bodies = [Slow(image("1.1.0"))]
            for command in ("self_destruct", "download_firmware", "download_firmware", "send_configuration"):
                await board.send(command, json.dumps(URL).encode())
            results = [await asyncio.wait_for(board.world.results.get(), 15) for _ in range(4)]
            return [(name, result["success"]) for _, name, result in results]

    assert asyncio.run(story()) == [
        ("self_destruct", False),
        ("download_firmware", False),
        ("send_configuration", True),
        ("download_firmware", True),
    ]
