"""The ledger is a partition: whatever happens, every command ends in exactly one column and the columns add up."""

import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from simulators.fleet.entries import RUN_OVER, Answer
from simulators.fleet.ledger import Ledger, merge
from simulators.fleet.totals import FOREIGN, download_correlation

DEVICE = "dev-1"


def ledger_of(*commands, late_after_s=10.0):
    """A ledger of (answer, deliveries, is_owed) triples."""
    ledger = Ledger(late_after_s=late_after_s)
    for number, (answer, deliveries, is_owed) in enumerate(commands):
        ledger.sent(f"c{number}", device_id=DEVICE, command="configuration", at_s=0.0, is_owed=is_owed)
        ledger.answered(f"c{number}", answer)
        for _ in range(deliveries):
            ledger.delivered(f"c{number}", device_id=DEVICE, at_s=1.0)
    return ledger


@pytest.mark.parametrize(
    ("answer", "deliveries", "is_owed", "column", "unexpected"),
    [
        (Answer.ACCEPTED, 1, True, "delivered_once", 0),
        (Answer.ACCEPTED, 2, True, "duplicated", 0),
        (Answer.ACCEPTED, 0, True, "lost", 0),
        (Answer.ACCEPTED, 0, False, "not_owed", 0),
        (Answer.ACCEPTED, 1, False, "delivered_once", 0),
        (Answer.REFUSED, 0, True, "refused", 0),
        (Answer.REFUSED, 1, True, "refused", 1),
        (Answer.UNKNOWN, 0, True, "unknown", 0),
        (Answer.UNKNOWN, 1, True, "unknown", 0),
        (Answer.UNKNOWN, 2, True, "unknown", 1),
    ],
)
def test_each_command_has_one_column(answer, deliveries, is_owed, column, unexpected):
    totals = ledger_of((answer, deliveries, is_owed)).totals()
    assert getattr(totals, column) == 1
    assert totals.unexpected == unexpected
    assert totals.adds_up()
    assert totals.is_green == (column not in ("duplicated", "lost") and not unexpected)


def test_a_red_column_names_its_commands():
    assert ledger_of((Answer.ACCEPTED, 2, True)).totals().named == {"duplicated": ["c0 (configuration to dev-1)"]}


def test_a_delivery_that_nobody_sent_is_unexpected():
    ledger = Ledger()
    ledger.delivered(f"{FOREIGN}dev-1/control/reboot", device_id=DEVICE, at_s=1.0)
    assert ledger.totals().unexpected == 1
    assert not ledger.totals().is_green


def test_what_an_earlier_run_left_in_a_session_is_told_and_accuses_nobody():
    ledger = Ledger()
    ledger.delivered("an-earlier-run-1-7", device_id=DEVICE, at_s=1.0)
    ledger.offered("old key", device_id=DEVICE, at_s=1.0, is_old=True)
    ledger.sent(download_correlation(DEVICE, 1), device_id=DEVICE, command="download_firmware", at_s=2.0)
    ledger.answered(download_correlation(DEVICE, 1), Answer.ACCEPTED)
    ledger.offered("new key", device_id=DEVICE, at_s=3.0)
    totals = ledger.totals()
    assert (totals.left_over, totals.unexpected, totals.delivered_once) == (2, 0, 1)
    assert totals.is_green
    assert totals.named["left_over"] == ["an-earlier-run-1-7", f"an older download to {DEVICE}"]


def test_a_command_at_another_device_is_unexpected_there_and_lost_here():
    ledger = ledger_of((Answer.ACCEPTED, 0, True))
    ledger.delivered("c0", device_id="dev-2", at_s=1.0)
    totals = ledger.totals()
    assert (totals.unexpected, totals.lost) == (1, 1)
    assert totals.named["unexpected"] == ["foreign:c0 at dev-2"]


def test_a_clean_session_is_owed_what_was_sent_into_it_and_reached_its_end():
    ledger = Ledger()
    ledger.session_ended(DEVICE)
    for correlation, happens in (
        ("before", lambda: ledger.session_began(DEVICE)),
        ("got", lambda: ledger.delivered("got", device_id=DEVICE, at_s=1.0)),
        ("cut", lambda: ledger.session_ended(DEVICE)),
        ("between", lambda: ledger.session_began(DEVICE)),
        ("lost", lambda: None),
    ):
        ledger.sent(correlation, device_id=DEVICE, command="reboot", at_s=0.0)
        ledger.answered(correlation, Answer.ACCEPTED)
        happens()
    totals = ledger.totals()
    assert (totals.delivered_once, totals.not_owed, totals.lost) == (1, 3, 1)
    assert totals.named["lost"] == [f"lost (reboot to {DEVICE})"]


def test_late_is_a_part_of_delivered_once():
    ledger = Ledger(late_after_s=0.5)
    ledger.sent("a", device_id=DEVICE, command="reboot", at_s=0.0)
    ledger.answered("a", Answer.ACCEPTED)
    ledger.delivered("a", device_id=DEVICE, at_s=0.6)
    assert (ledger.totals().late, ledger.totals().delivered_once) == (1, 1)


def test_a_correlation_is_used_once():
    ledger = ledger_of((Answer.ACCEPTED, 1, True))
    with pytest.raises(ValueError, match="c0"):
        ledger.sent("c0", device_id="d", command="reboot", at_s=0.0)


def test_downloads_are_matched_by_their_keys_in_order():
    ledger = Ledger()
    for number in (1, 2):
        ledger.sent(download_correlation("d", number), device_id="d", command="download_firmware", at_s=0.0)
        ledger.answered(download_correlation("d", number), Answer.ACCEPTED)
    ledger.offered("key-1", device_id="d", at_s=1.0)
    ledger.offered("key-2", device_id="d", at_s=2.0)
    ledger.offered("key-1", device_id="d", at_s=3.0)
    totals = ledger.totals()
    assert (totals.delivered_once, totals.duplicated) == (1, 1)
    assert "download:d:1" in totals.named["duplicated"][0]


@pytest.mark.parametrize(
    ("answers", "keys", "columns"),
    [
        # (delivered_once, lost, unknown, refused, unexpected)
        ((Answer.REFUSED, Answer.ACCEPTED), 1, (1, 0, 0, 1, 0)),
        ((Answer.UNKNOWN, Answer.ACCEPTED), 1, (1, 0, 1, 0, 0)),
        ((Answer.UNKNOWN, Answer.ACCEPTED), 2, (1, 0, 1, 0, 0)),
        ((Answer.UNKNOWN, Answer.ACCEPTED), 3, (1, 0, 1, 0, 1)),
        ((Answer.REFUSED, Answer.ACCEPTED), 2, (1, 0, 0, 1, 1)),
        ((Answer.REFUSED, Answer.ACCEPTED), 0, (0, 1, 0, 1, 0)),
        ((Answer.ACCEPTED, Answer.REFUSED, Answer.ACCEPTED), 2, (2, 0, 0, 1, 0)),
    ],
)
def test_keys_are_counted_against_accepted_downloads_first(answers, keys, columns):
    """Nothing in a download command says which request it answers: one that was refused must not turn its successor into a loss."""
    ledger = Ledger()
    for number, answer in enumerate(answers, 1):
        ledger.sent(download_correlation(DEVICE, number), device_id=DEVICE, command="download_firmware", at_s=0.0)
        ledger.answered(download_correlation(DEVICE, number), answer)
    for number in range(keys):
        ledger.offered(f"key-{number}", device_id=DEVICE, at_s=1.0)
    totals = ledger.totals()
    assert (totals.delivered_once, totals.lost, totals.unknown, totals.refused, totals.unexpected) == columns
    assert totals.adds_up()


def test_keys_say_how_they_ended():
    ledger = Ledger()
    for key in ("used", "refused", "cut", "unfinished", "expired", "unused"):
        ledger.offered(key, device_id=key, at_s=1.0, expires_at="2026-01-01T00:30:00Z")
    ledger.downloaded("used", size_bytes=7, duration_s=1.0)
    ledger.download_failed("refused", reason="HTTP status 401", size_bytes=0, duration_s=1.0)
    ledger.download_failed("cut", reason="the body ended early", size_bytes=3, duration_s=2.0)
    ledger.download_failed("unfinished", reason=RUN_OVER, size_bytes=2, duration_s=1.0)
    ledger.keys["expired"].is_expired = True
    ends = {"used": 1, "refused": 1, "expired": 1, "cut": 1, "unfinished": 1, "unused": 1, "used_twice": 0}
    assert ledger.totals().keys == {"issued": 6, **ends, "bytes": 12}
    written = {record["device_id"]: record for record in ledger.to_json()["keys"]}
    assert (written["cut"]["size_bytes"], written["cut"]["duration_s"], written["cut"]["cut"]) == (3, 2.0, "the body ended early")
    assert written["refused"]["refused"] == "HTTP status 401"
    assert written["unused"]["expires_at"] == "2026-01-01T00:30:00Z"


def test_a_second_try_with_a_used_key_is_refused_and_takes_nothing_from_the_first():
    ledger = Ledger()
    ledger.offered("key", device_id=DEVICE, at_s=1.0)
    ledger.downloaded("key", size_bytes=7, duration_s=1.0)
    ledger.download_failed("key", reason="HTTP status 401", size_bytes=0, duration_s=0.1)
    assert ledger.totals().keys | {"used": 1, "refused": 1, "bytes": 7} == ledger.totals().keys
    assert ledger.keys["key"].duration_s == 1.0


def test_what_one_process_sent_and_another_received_finds_together():
    sender = ledger_of((Answer.ACCEPTED, 0, True), (Answer.ACCEPTED, 0, True))
    receiver = Ledger()
    receiver.delivered("c0", device_id=DEVICE, at_s=1.0)
    merged = merge([receiver, sender]).totals()
    assert (merged.delivered_once, merged.lost, merged.unexpected) == (1, 1, 0)
    assert sender.totals().lost == 2


def test_what_one_process_sent_and_another_received_at_the_wrong_device_is_lost_here_and_unexpected_there():
    receiver = Ledger()
    receiver.delivered("c0", device_id="dev-2", at_s=1.0)
    again = Ledger.from_json(json.loads(json.dumps(receiver.to_json())))
    totals = merge([ledger_of((Answer.ACCEPTED, 0, True)), again]).totals()
    assert (totals.lost, totals.unexpected, totals.left_over, totals.delivered_once) == (1, 1, 0, 0)
    assert totals.named["unexpected"] == ["foreign:c0 at dev-2"]


def test_keys_of_two_runs_of_one_device_are_all_counted():
    former, latter = Ledger(), Ledger()
    former.offered("k1", device_id=DEVICE, at_s=1.0)
    latter.offered("k2", device_id=DEVICE, at_s=1.0)
    written = [Ledger.from_json(json.loads(json.dumps(ledger.to_json()))) for ledger in (former, latter)]
    assert merge(written).totals().keys["issued"] == 2


@pytest.mark.parametrize(("deliveries", "column"), [(0, "unknown"), (1, "delivered_once"), (2, "duplicated")])
def test_a_device_that_is_out_of_sight_is_accused_of_what_was_seen_only(deliveries, column):
    ledger = ledger_of((Answer.ACCEPTED, deliveries, True))
    ledger.lost_sight(DEVICE)
    assert getattr(ledger.totals(), column) == 1
    assert ledger.totals().adds_up()


def test_an_answer_that_comes_after_a_device_went_out_of_sight_owes_nothing():
    ledger = Ledger()
    ledger.lost_sight(DEVICE)
    for correlation, device_id in (("a", DEVICE), ("b", "dev-2")):
        ledger.sent(correlation, device_id=device_id, command="reboot", at_s=0.0)
        ledger.answered(correlation, Answer.ACCEPTED)
    assert (ledger.totals().unknown, ledger.totals().lost) == (1, 1)


def test_a_run_that_is_cut_short_calls_lost_only_what_had_its_time():
    ledger = Ledger()
    for correlation, at_s, is_owed in (("old", 0.0, True), ("new", 50.0, True), ("not owed", 50.0, False)):
        ledger.sent(correlation, device_id=DEVICE, command="reboot", at_s=at_s, is_owed=is_owed)
        ledger.answered(correlation, Answer.ACCEPTED)
    ledger.cut_short(sent_after_s=10.0)
    totals = ledger.totals()
    assert totals.named["lost"] == [f"old (reboot to {DEVICE})"]
    assert (totals.unknown, totals.lost, totals.not_owed) == (1, 1, 1)


def test_two_processes_cannot_send_the_same_correlation():
    with pytest.raises(ValueError, match="c0"):
        merge([ledger_of((Answer.ACCEPTED, 1, True)), ledger_of((Answer.ACCEPTED, 1, True))])


COMMANDS = st.lists(st.tuples(st.sampled_from(Answer), st.integers(0, 3), st.booleans()), max_size=12)


@given(COMMANDS, st.lists(st.sampled_from(["x", "y"]), max_size=3))
def test_a_ledger_survives_being_written_down(commands, strays):
    ledger = ledger_of(*commands)
    for stray in strays:
        ledger.delivered(stray, device_id=DEVICE, at_s=1.0)
    again = Ledger.from_json(json.loads(json.dumps(ledger.to_json())))
    assert again.totals() == ledger.totals()


@given(COMMANDS, st.data())
def test_it_does_not_matter_which_process_saw_a_delivery(commands, data):
    whole = ledger_of(*commands)
    sender, receiver = ledger_of(*[(answer, 0, is_owed) for answer, _, is_owed in commands]), Ledger()
    for number, (_, deliveries, _) in enumerate(commands):
        for _ in range(deliveries):
            seen_by = data.draw(st.sampled_from([sender, receiver]))
            seen_by.delivered(f"c{number}", device_id=DEVICE, at_s=1.0)
    one, other, both = whole.totals(), merge([sender, receiver]).totals(), merge([receiver, sender]).totals()
    assert one == other == both


DEVICES = st.sampled_from([DEVICE, "dev-2"])


class Books(RuleBasedStateMachine):
    """Any order of sends, answers, deliveries (at the wrong device, too), download keys, clean sessions, and devices out of sight."""

    correlations = Bundle("correlations")

    def __init__(self):
        super().__init__()
        self.ledger = Ledger()
        self.sent = 0
        self.delivered = 0
        self.downloads = Counter()

    @rule(target=correlations, device_id=DEVICES)
    def send(self, device_id):
        self.sent += 1
        self.ledger.sent(f"c{self.sent}", device_id=device_id, command="reboot", at_s=float(self.sent))
        return f"c{self.sent}"

    @rule(target=correlations, device_id=DEVICES)
    def send_download(self, device_id):
        self.sent += 1
        self.downloads[device_id] += 1
        correlation = download_correlation(device_id, self.downloads[device_id])
        self.ledger.sent(correlation, device_id=device_id, command="download_firmware", at_s=float(self.sent))
        return correlation

    @rule(correlation=consumes(correlations), answer=st.sampled_from(Answer))
    def answer(self, correlation, answer):
        self.ledger.answered(correlation, answer)

    @rule(number=st.integers(1, 8), device_id=DEVICES)
    def deliver(self, number, device_id):
        self.delivered += 1
        self.ledger.delivered(f"c{number}", device_id=device_id, at_s=100.0)

    @rule(key=st.sampled_from("abc"), device_id=DEVICES)
    def offer(self, key, device_id):
        self.delivered += 1
        self.ledger.offered(f"{device_id} {key}", device_id=device_id, at_s=100.0)

    @rule(key=st.sampled_from("abc"), device_id=DEVICES, is_whole=st.booleans())
    def download(self, key, device_id, is_whole):
        if f"{device_id} {key}" not in self.ledger.keys:
            return
        if is_whole:
            self.ledger.downloaded(f"{device_id} {key}", size_bytes=1, duration_s=1.0)
        else:
            self.ledger.download_failed(f"{device_id} {key}", reason="HTTP status 401", size_bytes=0, duration_s=1.0)

    @rule(device_id=DEVICES, change=st.sampled_from([Ledger.session_began, Ledger.session_kept, Ledger.session_ended]))
    def change_session(self, device_id, change):
        change(self.ledger, device_id)

    @rule(device_id=DEVICES)
    def lose_sight(self, device_id):
        self.ledger.lost_sight(device_id)

    @rule(sent_after_s=st.floats(0, 10))
    def cut_short(self, sent_after_s):
        self.ledger.cut_short(sent_after_s=sent_after_s)

    @invariant()
    def every_command_is_in_one_column(self):
        totals = self.ledger.totals()
        assert totals.adds_up()
        assert totals.sent == self.sent

    @invariant()
    def every_delivery_is_in_the_books_once(self):
        assert sum(entry.deliveries for entry in self.ledger.entries.values()) + self.ledger.strays.total() == self.delivered

    @invariant()
    def written_down_and_merged_it_says_the_same(self):
        again = Ledger.from_json(json.loads(json.dumps(self.ledger.to_json())))
        assert merge([again, Ledger()]).totals() == self.ledger.totals()


TestBooks = Books.TestCase
TestBooks.settings = hypothesis_settings(max_examples=60, stateful_step_count=30, deadline=None)
