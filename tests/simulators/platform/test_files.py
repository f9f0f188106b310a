"""Names of files, and the header that carries them."""

import email.message
import re
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.wire.files import FileType
from simulators.platform.files import content_disposition, file_name_problem, file_type_of


@pytest.mark.requirement("DLD-01")
def test_a_plain_name_stands_bare_as_in_the_source():
    assert content_disposition("firmware_v2.1.0.bin") == "attachment; filename=firmware_v2.1.0.bin"


@pytest.mark.requirement("DLD-09")
@pytest.mark.parametrize("name", ['a "b" c.bin', "a;b.bin", "ü.bin", "a\\b.bin", "名前.bin", "a,b.bin", "x y.bin", "100%.bin", "'.bin"])
def test_a_parser_of_the_standard_library_reads_the_name_back(name):
    message = email.message.Message()
    header = content_disposition(name)
    message["Content-Disposition"] = header
    assert header.isascii()
    assert message.get_content_disposition() == "attachment"
    if name.isascii():
        assert message.get_filename() == name
    else:
        assert unquote(re.search(r"filename\*=UTF-8''(\S+)$", header).group(1)) == name


@pytest.mark.requirement("DLD-09")
@given(st.text(min_size=1))
def test_no_name_breaks_the_header(name):
    header = content_disposition(name)
    assert re.fullmatch(r'attachment; filename=([!#-+\-.0-9A-Z^-z|~]+|"([ !#-\[\]-~]|\\["\\])*")(; filename\*=UTF-8\'\'[\w.%~-]+)?', header)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b.bin", "..\\a.bin", "a\0.bin", "a\n.bin", "\ud800.bin", "a" * 252 + ".bin", "a.png", "bin", "a.bin.gz"]
)
def test_names_that_cannot_be_stored(name):
    assert file_name_problem(FileType.FIRMWARE, name)


@pytest.mark.parametrize("name", ["a.bin", "A.BIN", "x.hex", "y.elf", 'a b;".bin', "ü.bin", "a" * 251 + ".bin", ".bin"])
def test_names_that_can_be_stored(name):
    assert file_name_problem(FileType.FIRMWARE, name) is None


@pytest.mark.requirement("LST-04")
@pytest.mark.parametrize("values", [[], [""], ["Firmware"], ["firmware", "firmware"], ["logo", "firmware"], ["logos"]])
def test_a_type_that_is_not_exactly_one_known_word_is_none(values):
    assert file_type_of(values) is None
