"""The ledger is a partition: whatever happens, every command ends in exactly one column and the columns add up."""

import json

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from simulators.fleet.ledger import Answer, Ledger, download_correlation, merge


def ledger_of(*commands, late_after_s=10.0):
    """A ledger of (answer, deliveries, is_owed) triples."""
    ledger = Ledger(late_after_s=late_after_s)
    for number, (answer, deliveries, is_owed) in enumerate(commands):
        ledger.sent(f"c{number}", device_id="dev-1", command="configuration", at_s=0.0, is_owed=is_owed)
        ledger.answered(f"c{number}", answer)
        for _ in range(deliveries):
            ledger.delivered(f"c{number}", at_s=1.0)
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
    ledger.delivered("ghost", at_s=1.0)
    assert ledger.totals().unexpected == 1
    assert not ledger.totals().is_green


def test_late_is_a_part_of_delivered_once():
    ledger = Ledger(late_after_s=0.5)
    ledger.sent("a", device_id="d", command="reboot", at_s=0.0)
    ledger.answered("a", Answer.ACCEPTED)
    ledger.delivered("a", at_s=0.6)
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


def test_keys_say_how_they_ended():
    ledger = Ledger()
    for key in ("used", "refused", "cut", "unused"):
        ledger.offered(key, device_id=key, at_s=1.0)
    ledger.downloaded("used", size_bytes=7, duration_s=1.0)
    ledger.download_failed("refused", reason="HTTP status 401", duration_s=1.0)
    ledger.download_failed("cut", reason="the body ended early", duration_s=1.0)
    keys = ledger.totals().keys
    assert keys == {"issued": 4, "used": 1, "refused": 1, "cut": 1, "unused": 1, "used_twice": 0, "bytes": 7}


def test_what_one_process_sent_and_another_received_finds_together():
    sender = ledger_of((Answer.ACCEPTED, 0, True), (Answer.ACCEPTED, 0, True))
    receiver = Ledger()
    receiver.delivered("c0", at_s=1.0)
    merged = merge([receiver, sender]).totals()
    assert (merged.delivered_once, merged.lost, merged.unexpected) == (1, 1, 0)
    assert sender.totals().lost == 2


def test_two_processes_cannot_send_the_same_correlation():
    with pytest.raises(ValueError, match="c0"):
        merge([ledger_of((Answer.ACCEPTED, 1, True)), ledger_of((Answer.ACCEPTED, 1, True))])


COMMANDS = st.lists(st.tuples(st.sampled_from(Answer), st.integers(0, 3), st.booleans()), max_size=12)


@given(COMMANDS, st.lists(st.sampled_from(["x", "y"]), max_size=3))
def test_a_ledger_survives_being_written_down(commands, strays):
    ledger = ledger_of(*commands)
    for stray in strays:
        ledger.delivered(stray, at_s=1.0)
    again = Ledger.from_json(json.loads(json.dumps(ledger.to_json())))
    assert again.totals() == ledger.totals()


@given(COMMANDS, st.data())
def test_it_does_not_matter_which_process_saw_a_delivery(commands, data):
    whole = ledger_of(*commands)
    sender, receiver = ledger_of(*[(answer, 0, is_owed) for answer, _, is_owed in commands]), Ledger()
    for number, (_, deliveries, _) in enumerate(commands):
        for _ in range(deliveries):
            seen_by = data.draw(st.sampled_from([sender, receiver]))
            seen_by.delivered(f"c{number}", at_s=1.0)
    one, other, both = whole.totals(), merge([sender, receiver]).totals(), merge([receiver, sender]).totals()
    assert one == other == both


class Books(RuleBasedStateMachine):
    """Any order of sends, answers and deliveries."""

    correlations = Bundle("correlations")

    def __init__(self):
        super().__init__()
        self.ledger = Ledger()
        self.count = 0

    @rule(target=correlations, is_owed=st.booleans())
    def send(self, is_owed):
        self.count += 1
        self.ledger.sent(f"c{self.count}", device_id="d", command="reboot", at_s=float(self.count), is_owed=is_owed)
        return f"c{self.count}"

    @rule(correlation=consumes(correlations), answer=st.sampled_from(Answer))
    def answer(self, correlation, answer):
        self.ledger.answered(correlation, answer)

    @rule(number=st.integers(1, 8))
    def deliver(self, number):
        self.ledger.delivered(f"c{number}", at_s=100.0)

    @invariant()
    def the_columns_add_up(self):
        totals = self.ledger.totals()
        assert totals.adds_up()
        assert totals.sent == self.count


TestBooks = Books.TestCase
TestBooks.settings = hypothesis_settings(max_examples=60, stateful_step_count=30, deadline=None)
