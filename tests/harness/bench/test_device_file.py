"""The device file: what is read from it, and that every mistake is one line that names table and key."""

from pathlib import Path

import pytest

from harness.bench.device_file import read_device_file
from harness.errors import ConfigurationError

GOOD = """
[device]
vendor = "ACME"
model = "Thermo 3"
firmware_version = "2.0.4"

[device.run]
exec = "node device.mjs"
"""


def read(directory: Path, text: str):
    path = directory / "device.toml"
    path.write_text(text)
    return read_device_file(path)


def test_what_is_left_out_has_the_documented_defaults(tmp_path):
    file = read(tmp_path, GOOD)

    assert file.device.name == "ACME Thermo 3 2.0.4"
    assert file.device.declares.results == "required"
    assert file.device.declares.download == "single"
    assert file.bench.bind == "127.0.0.1"


def test_commands_of_every_table_start_beside_the_file_if_they_name_something_there(tmp_path):
    (tmp_path / "board.sh").write_text("")
    commands = '[device.prepare]\nflash = "sh board.sh"\n[device.observe]\nimage_sha256 = "sh board.sh sha256"\n'
    device = read(tmp_path, GOOD + commands).device

    assert device.prepare.directory_of("sh board.sh") == tmp_path
    assert device.observe.directory_of("sh board.sh sha256") == tmp_path
    assert device.run.directory_of("node device.mjs") == Path.cwd()


def test_hardening_may_stand_before_the_tables_or_in_device(tmp_path):
    assert read(tmp_path, 'hardening = "must"\n' + GOOD).device.hardening == "must"
    assert read(tmp_path, GOOD.replace("[device.run]", 'hardening = "must"\n[device.run]')).device.hardening == "must"


@pytest.mark.parametrize(
    ("old", "new", "key", "problem"),
    [
        (
            'exec = "node device.mjs"',
            'exec = "x"\nattach = true',
            "run",
            "exactly one of exec, serial, attach is wanted, found exec, attach",
        ),
        ('exec = "node device.mjs"', "", "run", "found none"),
        ('vendor = "ACME"', "", "vendor", "is missing"),
        ("[device.run]", '[device.declares]\nresults = "sometimes"\n[device.run]', "results", "'required'"),
        ("[device.run]", "[device.declares]\nreboot_s = 0\n[device.run]", "reboot_s", "greater than 0"),
        ("[device.run]", "[device.declares]\nreboot_s = inf\n[device.run]", "reboot_s", "finite number"),
        ("[device.run]", "[device.declares]\nkeep_alive_s = 1e6\n[device.run]", "keep_alive_s", "less than or equal to 65535"),
        ("[device.run]", '[device.declares]\ncommands = ["a/b"]\n[device.run]', "0", "found 'a/b'"),
        ("[device.run]", '[device.observe]\nboot_pattern = "("\n[device.run]', "boot_pattern", "'(' is no regular expression"),
        ("[device.run]", '[device.declares]\nconfiguration_pointer = "x"\n[device.run]', "configuration_pointer", "is no JSON pointer"),
        ("[device.run]", "[[device.configurations]]\ndata = { a = 1 }\n[device.run]", "device", "at least 2 are wanted"),
        ("[device.run]", '[device.identity]\nid = "a/b"\ntoken = "t"\n[device.run]', "id", "found 'a/b'"),
        ("[device.run]", '[bench]\nadvertise = "http://bench"\n[device.run]', "advertise", "'http://bench' is no host"),
        ("[device.run]", '[bench]\nbind = ""\n[device.run]', "bind", "'' is no host"),
    ],
)
def test_a_mistake_names_its_key(tmp_path, old, new, key, problem):
    with pytest.raises(ConfigurationError) as caught:
        read(tmp_path, GOOD.replace(old, new))

    assert caught.value.key == key
    assert problem in caught.value.problem
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("bench", "problem"),
    [
        ('tls_cert = "c.pem"', r"bench: tls_cert and tls_key go together"),
        ('tls_cert = "c.pem"\ntls_key = "k.pem"', r"\[bench\] tls_key: .*k\.pem' is no file"),
    ],
)
def test_a_certificate_of_ours_needs_its_key(tmp_path, bench, problem):
    (tmp_path / "c.pem").write_text("-")

    with pytest.raises(ConfigurationError, match=problem):
        read(tmp_path, f"{GOOD}\n[bench]\ntls = true\n{bench}\n")


@pytest.mark.parametrize(
    ("bench", "problem"),
    [
        ('tls_cert = "c.pem"\ntls_key = "c.pem"', r"\[bench\] tls_cert, tls_key: no certificate with its private key"),
        ('tls_ca = "c.pem"', r"\[bench\] tls_ca: no certificate of an authority"),
    ],
)
def test_a_certificate_that_is_none_is_a_mistake_of_the_file(tmp_path, bench, problem):
    (tmp_path / "c.pem").write_text("-")

    with pytest.raises(ConfigurationError, match=problem):
        read(tmp_path, f"{GOOD}\n[bench]\ntls = true\n{bench}\n")


def test_an_image_must_be_there(tmp_path):
    image = '[[device.images]]\npath = "{}"\ntype = "firmware"\n'
    (tmp_path / "a.bin").write_bytes(b"a")

    with pytest.raises(ConfigurationError, match=r"device\.images\.1\] path: .*b\.bin' is no file"):
        read(tmp_path, GOOD.replace("[device.run]", image.format("a.bin") + image.format("b.bin") + "[device.run]"))
