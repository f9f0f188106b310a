"""The store across versions and processes, and that text which no stored value can hold does no harm."""

import errno
import os
import sqlite3

import pytest

from harness.wire.files import FileType
from simulators.platform import store
from simulators.platform.access import Organisation, Project
from simulators.platform.contents import Contents
from simulators.platform.files import StoredFile
from simulators.platform.store import MIGRATIONS, Store


def test_a_fresh_store_has_the_newest_schema_and_opens_again(tmp_path):
    Store(tmp_path / "db").close()
    assert sqlite3.connect(tmp_path / "db").execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
    Store(tmp_path / "db").close()


def test_a_store_of_a_newer_version_is_refused_and_not_touched(tmp_path):
    Store(tmp_path / "db").close()
    with sqlite3.connect(tmp_path / "db") as db:
        db.execute("PRAGMA user_version = 999")
    with pytest.raises(ValueError, match="newer version"):
        Store(tmp_path / "db")


def test_a_migration_that_was_interrupted_is_done_from_its_beginning(tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(store, "MIGRATIONS", (*MIGRATIONS[:-1], MIGRATIONS[-1] + "CREATE TABLE interrupted ("))
        with pytest.raises(sqlite3.OperationalError):
            Store(tmp_path / "db")
    Store(tmp_path / "db").close()
    assert sqlite3.connect(tmp_path / "db").execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)


def test_an_organisation_changes_its_feature_switch_at_once_for_everybody(tmp_path):
    one, other = Store(tmp_path / "db"), Store(tmp_path / "db")
    one.add_organisation(Organisation("o", "o", True))
    one.add_organisation(Organisation("o", "o", False))
    assert other.organisation("o") == Organisation("o", "o", False)


def test_names_with_lone_surrogates_match_nothing():
    records = Store(None)
    assert records.device("\ud800") is None
    assert records.file("\ud800", FileType.LOGO, "\udfff.png") is None


def test_a_file_with_the_name_of_another_takes_its_place():
    records = Store(None)
    records.add_organisation(Organisation("o", "o", True))
    records.add_project(Project("p", "o", "p"))
    first = records.put_file(StoredFile(0, "p", FileType.LOGO, "a.png", "", 1.0, 1, "aa"))
    second = records.put_file(StoredFile(0, "p", FileType.LOGO, "a.png", "new", 2.0, 2, "bb"))
    assert records.project_files("p", FileType.LOGO) == [second]
    assert (second.id, second.sha256) == (first.id, "bb")
    assert not records.is_content_wanted("aa")


def test_bytes_that_are_not_kept_leave_nothing_behind(tmp_path):
    contents = Contents(tmp_path)
    with contents.receive() as incoming:
        incoming.write(b"abc")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_copy_outlives_its_content(tmp_path):
    contents = Contents(tmp_path)
    with contents.receive() as incoming:
        incoming.write(b"abc")
        incoming.flush()
        content = incoming.keep()
    contents.make_copy(7, content.sha256)
    contents.make_copy(7, content.sha256)  # again, after a kill between copy and commit
    contents.remove(content.sha256)
    with contents.open_copy(7) as copy:
        assert copy.read() == b"abc"
    contents.remove_copy(7)
    assert contents.open_copy(7) is None
    with pytest.raises(FileNotFoundError):
        contents.make_copy(8, content.sha256)


def test_a_copy_is_made_where_a_file_can_have_no_more_hard_links(tmp_path, monkeypatch):
    def refuse(source, target):
        raise OSError(errno.EMLINK, "Too many links")

    contents = Contents(tmp_path)
    with contents.receive() as incoming:
        incoming.write(b"abc")
        incoming.flush()
        content = incoming.keep()
    monkeypatch.setattr(os, "link", refuse)
    contents.make_copy(7, content.sha256)
    with contents.open_copy(7) as copy:
        assert copy.read() == b"abc"
