"""A package verifies only as it was signed, by a key that its reader knows."""

import json
import stat

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from harness.errors import ConfigurationError
from harness.report import keys
from harness.report.signature import fingerprint_of, sign, verify, write_manifest
from harness.report.writer import write_package

KEY = Ed25519PrivateKey.generate()
STRANGER = Ed25519PrivateKey.generate()
KNOWN = {fingerprint_of(KEY.public_key()): "ACME"}


@pytest.fixture
def package(tmp_path, report, history):
    directory = tmp_path / "package"
    write_package(directory, report, history, key=KEY)
    return directory


def test_an_untouched_package_is_verified_and_says_who_signed(package):
    verification = verify(package, KNOWN)
    assert verification.is_verified
    assert verification.signer == "ACME"
    assert verification.fingerprint in KNOWN


def test_a_changed_verdict_is_refused_and_named(package):
    path = package / "report.json"
    path.write_text(path.read_text().replace('"verdict": "fail"', '"verdict": "pass"', 1))
    verification = verify(package, KNOWN)
    assert not verification.is_verified
    assert verification.altered == "report.json"


def test_a_removed_evidence_line_is_refused_and_named(package):
    path = package / "history.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-2]))
    assert verify(package, KNOWN).altered == "history.jsonl"


def test_swapped_files_are_refused(package):
    one, other = package / "junit.xml", package / "report.json"
    kept = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(kept)
    assert not verify(package, KNOWN).is_verified


def test_a_missing_file_is_refused_and_named(package):
    (package / "junit.xml").unlink()
    assert verify(package, KNOWN).altered == "junit.xml"


def test_a_manifest_made_to_fit_the_altered_file_is_refused(package):
    signature = (package / "manifest.sig").read_bytes()
    (package / "report.json").write_text("{}")
    write_manifest(package, {})
    (package / "manifest.sig").write_bytes(signature)
    verification = verify(package, KNOWN)
    assert not verification.is_verified
    assert verification.altered == "manifest.json"


def test_another_key_is_an_unknown_key_and_not_verified(package):
    sign(package, STRANGER)
    verification = verify(package, KNOWN)
    assert not verification.is_verified
    assert verification.problem == ""
    assert "signed by an unknown key" in str(verification)


def test_a_claimed_fingerprint_is_not_believed(package):
    sign(package, STRANGER)
    path = package / "manifest.sig"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"fingerprint": next(iter(KNOWN))}))
    assert not verify(package, KNOWN).is_verified


@pytest.mark.parametrize(
    "text", ["", "{}", "[1]", '{"schema": "hil-signature/1"}', '{"schema": "hil-signature/1", "public_key": "x", "signature": 3}']
)
def test_a_broken_signature_file_is_refused(package, text):
    (package / "manifest.sig").write_text(text)
    verification = verify(package, KNOWN)
    assert not verification.is_verified
    assert verification.altered == "manifest.sig"


def test_an_unsigned_package_is_not_verified(tmp_path, report, history):
    write_package(tmp_path / "package", report, history, key=None)
    verification = verify(tmp_path / "package", KNOWN)
    assert not verification.is_verified
    assert verification.altered == "manifest.sig"


@pytest.mark.parametrize("name", ["../outside", "sub/file", ".hidden"])
def test_a_manifest_that_points_outside_the_package_is_refused(package, name):
    path = package / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["files"][name] = {"sha256": "0", "size_bytes": 0}
    path.write_text(json.dumps(manifest))
    sign(package, KEY)
    assert verify(package, KNOWN).altered == name


def test_a_manifest_without_the_report_is_refused(package):
    path = package / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"files": {}}))
    sign(package, KEY)
    assert verify(package, KNOWN).altered == "report.json"


def test_a_file_that_was_added_is_told(package):
    (package / "notes.txt").write_text("seen by Ada")
    verification = verify(package, KNOWN)
    assert verification.is_verified
    assert verification.unlisted == ("notes.txt",)


def test_the_key_of_a_bench_is_private_and_made_once(no_keys_of_the_user):
    first = keys.create_key(no_keys_of_the_user)
    again = keys.create_key(no_keys_of_the_user)
    assert fingerprint_of(first.public_key()) == fingerprint_of(again.public_key())
    assert stat.S_IMODE((no_keys_of_the_user / "signing_key.pem").stat().st_mode) == 0o600


def test_the_bench_knows_its_own_key_and_those_it_was_told(no_keys_of_the_user):
    own = fingerprint_of(keys.create_key(no_keys_of_the_user).public_key())
    theirs = fingerprint_of(STRANGER.public_key())
    keys.remember_key(no_keys_of_the_user, theirs, "  ACME  lab ")
    assert keys.known_keys(no_keys_of_the_user) == {own: keys.THIS_BENCH, theirs: "ACME lab"}


@pytest.mark.parametrize(("fingerprint", "name"), [("xyz", "ACME"), ("ab" * 16, " ")])
def test_what_is_no_key_is_not_remembered(no_keys_of_the_user, fingerprint, name):
    with pytest.raises(ConfigurationError):
        keys.remember_key(no_keys_of_the_user, fingerprint, name)


def test_keys_that_cannot_be_kept_are_a_mistake_of_one_line(tmp_path):
    (tmp_path / "hil").touch()
    with pytest.raises(ConfigurationError, match=r"known_keys: cannot be written"):
        keys.remember_key(tmp_path / "hil", "ab" * 16, "ACME")


def test_a_wanted_key_is_named_by_fingerprint_or_file(tmp_path):
    path = tmp_path / "key.pub"
    path.write_text(keys.public_key_text(KEY))
    fingerprint = fingerprint_of(KEY.public_key())
    assert keys.wanted_fingerprint(str(path)) == keys.wanted_fingerprint(fingerprint.upper()) == fingerprint


@pytest.mark.parametrize("content", [None, "no key"])
def test_a_wanted_key_that_is_none_is_a_mistake_of_the_user(tmp_path, content):
    path = tmp_path / "key.pub"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigurationError):
        keys.wanted_fingerprint(str(path))


def test_a_missing_or_damaged_key_of_the_bench_is_told(no_keys_of_the_user):
    with pytest.raises(ConfigurationError, match="hil key init"):
        keys.load_key(no_keys_of_the_user)
    no_keys_of_the_user.mkdir()
    (no_keys_of_the_user / "signing_key.pem").write_text("no key")
    with pytest.raises(ConfigurationError, match="holds no private key"):
        keys.load_key(no_keys_of_the_user)


def test_a_bench_without_a_writable_home_leaves_unsigned_packages(monkeypatch, tmp_path, caplog):
    (tmp_path / "hil").write_text("a file where the directory should be")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert keys.signing_key() is None
    assert "packages are not signed" in caplog.text
