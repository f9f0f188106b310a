"""`hil report` and `hil key` as a user types them."""

import json
from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from harness import cli
from harness.checks.verdict import RunVerdict, Verdict
from harness.report.keys import create_key, signing_key
from harness.report.package import as_json
from harness.report.terminal import show
from harness.report.writer import environment, write_package


@pytest.fixture
def package(tmp_path, report, history):
    write_package(tmp_path / "package", report, history, key=signing_key())
    return tmp_path / "package"


def hil(capsys, *arguments):
    status = cli.run([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_a_package_has_all_its_files(package):
    assert {path.name for path in package.iterdir()} == {
        "capture.pcapng",
        "gl-code-quality.json",
        "history.jsonl",
        "junit.xml",
        "manifest.json",
        "manifest.sig",
        "report.html",
        "report.json",
    }


def test_a_history_that_the_run_wrote_is_not_touched(tmp_path, report, history):
    (tmp_path / "history.jsonl").write_text("what happened\n")
    write_package(tmp_path, report, history, key=None)
    assert (tmp_path / "history.jsonl").read_text() == "what happened\n"


def test_show_prints_what_is_not_well_with_its_reason_and_has_the_run_s_status(capsys, package):
    status, out, _ = hil(capsys, "report", "show", package)
    assert status == 1
    assert "FAIL delivered_once (CMD-03)" in out
    assert "hint: the broker repeats PUBLISH & keeps no ids" in out
    assert "verdict: fail · platform staging · 8 checks: 1 pass" in out
    assert "requirements: 4 covered, 3 not applicable" in out
    assert "\x1b[" not in out


def test_show_leaves_out_what_was_not_asked_unless_it_is_wanted(capsys, package):
    assert "A key dies after 30 minutes" not in hil(capsys, "report", "show", package)[1]
    assert "A key dies after 30 minutes" in hil(capsys, "report", "show", package, "--all")[1]


def test_show_counts_what_is_well_and_names_it_only_when_wanted(capsys, package):
    passed = next(check["title"] for check in json.loads((package / "report.json").read_text())["checks"] if check["verdict"] == "pass")
    brief, full = hil(capsys, "report", "show", package)[1], hil(capsys, "report", "show", package, "--all")[1]
    assert passed not in brief
    assert passed in full
    assert "1 pass" in brief.split("verdict: fail")[0]


def test_statements_of_the_standard_stand_under_its_name(report):
    console = Console(file=StringIO(), width=100)
    show(replace(report, checks=(replace(report.checks[0], requirements=("MQTT-3.1.2-24",)),)), console)
    assert "MQTT 3.1.1" in console.file.getvalue()


def test_one_reason_names_some_of_the_checks_that_it_leaves_out_and_counts_the_rest(report):
    skipped = [replace(report.checks[-1], id=f"check_{number}", detail="not named by --only") for number in range(9)]
    console = Console(file=StringIO())
    show(replace(report, checks=tuple(skipped), findings=()), console)
    assert "not shown, skipped: check_0, check_1, check_2, check_3, check_4, check_5, and 3 more: not named by" in console.file.getvalue()


def test_show_as_json_is_the_report(capsys, package):
    _, out, _ = hil(capsys, "report", "show", package, "--json")
    assert json.loads(out) == json.loads((package / "report.json").read_text())


def test_verify_is_0_for_an_untouched_package_of_this_bench(capsys, package):
    status, out, _ = hil(capsys, "report", "verify", package)
    assert status == 0
    assert out.startswith("verified: signed by this bench (")


def test_verify_is_1_and_names_the_altered_file(capsys, package):
    path = package / "report.json"
    path.write_text(path.read_text().replace("fail", "pass"))
    status, out, _ = hil(capsys, "report", "verify", package)
    assert status == 1
    assert "report.json" in out
    assert "signed by this bench" in out


def test_verify_with_another_key_is_1(capsys, package):
    status, out, _ = hil(capsys, "report", "verify", package, "--key", "ab" * 16)
    assert status == 1
    assert "signed by an unknown key" in out


def test_verify_with_the_fingerprint_that_key_init_prints_is_0(capsys, package):
    fingerprint = hil(capsys, "key", "init")[1].strip()
    assert hil(capsys, "report", "verify", package, "--key", fingerprint)[0] == 0


def test_verify_as_json(capsys, package):
    members = json.loads(hil(capsys, "report", "verify", package, "--json")[1])
    assert members["verified"] is True
    assert members["signer"] == "this bench"


def test_verify_knows_a_key_that_was_trusted(capsys, monkeypatch, tmp_path, package):
    fingerprint = hil(capsys, "key", "init")[1].strip()
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "elsewhere"))
    assert hil(capsys, "report", "verify", package)[0] == 1
    assert hil(capsys, "key", "trust", fingerprint, "ACME lab")[0] == 0
    status, out, _ = hil(capsys, "report", "verify", package)
    assert status == 0
    assert "signed by ACME lab" in out


def test_verify_tells_of_a_file_that_was_added(capsys, package):
    (package / "notes.txt").write_text("x")
    assert "note: notes.txt is no part of the signed package" in hil(capsys, "report", "verify", package)[1]


@pytest.mark.parametrize("command", [("show",), ("verify",), ("redact", "--out", "x"), ("trend",)])
def test_what_is_no_package_is_one_line_and_status_2(capsys, tmp_path, command):
    name, *options = command
    status, out, err = hil(capsys, "report", name, tmp_path, *options)
    assert (status, out) == (2, "")
    assert str(tmp_path) in err
    assert err.count("\n") == 1


def test_an_interrupted_run_is_sent_to_hil_check(capsys, package):
    (package / "report.json").unlink()
    status, _, err = hil(capsys, "report", "show", package)
    assert (status, err.count("\n")) == (2, 1)
    assert "`hil check` judges its history" in err


def test_diff_is_1_when_something_got_worse_and_0_the_other_way(capsys, tmp_path, package, report):
    better = replace(report, checks=tuple(replace(check, verdict=Verdict.PASS) for check in report.checks), verdict=RunVerdict.PASS)
    (tmp_path / "better.json").write_text(as_json(better))
    status, out, _ = hil(capsys, "report", "diff", tmp_path / "better.json", package)
    assert status == 1
    assert "verdict: pass → fail" in out
    assert "worse  delivered_once: pass → fail" in out
    assert hil(capsys, "report", "diff", package, tmp_path / "better.json")[0] == 0


def test_diff_in_a_log_breaks_no_line(capsys, tmp_path, package, report):
    worse = tuple(replace(check, verdict=Verdict.FAIL, detail="a long reason " * 20) for check in report.checks)
    (tmp_path / "b.json").write_text(as_json(replace(report, checks=worse)))
    assert ("a long reason " * 20).strip() in hil(capsys, "report", "diff", package, tmp_path / "b.json")[1]


def test_diff_says_that_two_packages_are_about_two_subjects(capsys, tmp_path, package, report):
    (tmp_path / "b.json").write_text(as_json(replace(report, subject=replace(report.subject, name="production"))))
    assert (
        hil(capsys, "report", "diff", package, tmp_path / "b.json")[2] == "note: A is about platform staging, B about platform production\n"
    )
    assert hil(capsys, "report", "diff", package, package)[2] == ""


def test_diff_of_a_package_with_itself_is_empty(capsys, package):
    assert hil(capsys, "report", "diff", package, package)[:2] == (0, "nothing changed\n")


def test_diff_as_json(capsys, package):
    members = json.loads(hil(capsys, "report", "diff", package, package, "--json")[1])
    assert members == {"regression": False, "verdicts": ["fail", "fail"], "checks": [], "newly_covered": [], "uncovered": []}


def test_trend_writes_page_and_figures(capsys, package):
    status, out, _ = hil(capsys, "report", "trend", package.parent)
    assert status == 0
    assert out.split() == [str(package.parent / "trend.html"), str(package.parent / "metrics.openmetrics")]
    assert "staging" in (package.parent / "trend.html").read_text()


def test_redact_leaves_a_verified_package_without_names(capsys, package, tmp_path):
    out = tmp_path / "customers"
    assert hil(capsys, "report", "redact", package, "--out", out)[0] == 0
    assert hil(capsys, "report", "verify", out)[0] == 0
    assert "platform.example" not in (out / "report.html").read_text()


def test_redact_does_not_write_into_an_existing_directory(capsys, package):
    status, _, err = hil(capsys, "report", "redact", package, "--out", package)
    assert status == 2
    assert "exists already" in err


def test_redact_needs_a_readable_history(capsys, package, tmp_path):
    (package / "history.jsonl").write_text("{}\n")
    assert hil(capsys, "report", "redact", package, "--out", tmp_path / "x")[0] == 2


def test_key_init_twice_keeps_the_key(capsys):
    first = hil(capsys, "key", "init")
    second = hil(capsys, "key", "init")
    assert first[1] == second[1]
    assert "kept" in second[2]


def test_key_public_and_list(capsys, no_keys_of_the_user, tmp_path, package):
    create_key(no_keys_of_the_user)
    (tmp_path / "bench.pub").write_text(hil(capsys, "key", "public")[1])
    assert hil(capsys, "report", "verify", package, "--key", tmp_path / "bench.pub")[0] == 0
    assert hil(capsys, "key", "list")[1].endswith(" this bench\n")


def test_colours_are_for_terminals_only(report):
    printed = []
    for is_terminal in (True, False):
        console = Console(file=StringIO(), force_terminal=is_terminal, width=100)
        show(report, console)
        printed.append(console.file.getvalue())
    assert ["\x1b[" in text for text in printed] == [True, False]


def test_the_environment_says_on_what_it_ran():
    assert environment()["python"].startswith("CPython 3.")
