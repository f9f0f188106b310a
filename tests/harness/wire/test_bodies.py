"""Bodies of the REST answers, and the names of files in them."""

import pytest

from harness.wire.files import FileEntry, FileType, has_extension_of, is_plain_name
from harness.wire.responses import ErrorBody, SuccessBody, command_path, error_body_problem, missing_error_members, project_files_path


def test_a_success_says_so_and_an_error_does_not():
    assert SuccessBody("m", "a").body() == {"success": True, "message": "m", "action": "a"}
    assert ErrorBody("m", "a").body() == {"success": False, "message": "m", "action": "a"}
    assert ErrorBody("m", "a", "C1", "d").body() == {"success": False, "message": "m", "action": "a", "code": "C1", "details": "d"}


@pytest.mark.parametrize("body", [{}, {"success": False}, ErrorBody("m", "a", "c", "d").body(), {"unknown": 1}])
def test_a_body_of_the_contract_has_no_problem(body):
    assert error_body_problem(body) is None


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (None, "NoneType"),
        ([], "list"),
        ({"success": True}, "'success' is true"),
        ({"success": 0}, "not bool"),
        ({"message": 5}, "'message' is 5"),
        ({"details": None}, "not str"),
    ],
)
def test_a_body_that_breaks_the_contract_is_told_in_words(body, words):
    assert words in str(error_body_problem(body))


def test_the_members_that_an_error_should_have_are_missed():
    assert missing_error_members({"message": "m"}) == ["success", "action"]


def test_ids_in_paths_are_percent_encoded():
    assert command_path("p/1", "d 2") == "/v2/projects/p%2F1/devices/d%202/communication/command"
    assert project_files_path("p?") == "/v2/projects/p%3F/files"


@pytest.mark.parametrize(("name", "file_type"), [("a.bin", FileType.FIRMWARE), ("A.HEX", FileType.FIRMWARE), ("l.jpg", FileType.LOGO)])
def test_an_extension_belongs_to_one_type_in_any_case(name, file_type):
    assert [kind for kind in FileType if has_extension_of(kind, name)] == [file_type]


@pytest.mark.parametrize("name", ["a.txt", "bin", ""])
def test_a_name_without_such_an_extension_is_of_no_type(name):
    assert not any(has_extension_of(kind, name) for kind in FileType)


@pytest.mark.parametrize(("name", "is_plain"), [("fw_v2.1-a.bin", True), ("a b", False), ('"', False), ("ä.bin", False), ("", False)])
def test_a_plain_name_needs_no_quotes(name, is_plain):
    assert is_plain_name(name) is is_plain


def test_an_entry_without_a_description_leaves_it_out():
    entry = {"name": "a.bin", "time": "2026-01-01T00:00:00Z", "size": 3}
    assert FileEntry("a.bin", "2026-01-01T00:00:00Z", 3).body() == entry
    assert FileEntry("a.bin", "2026-01-01T00:00:00Z", 3, "the first").body() == entry | {"description": "the first"}
