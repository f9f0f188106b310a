"""The books of several workers: handed in, or left behind by one that died."""

from hypothesis import given
from hypothesis import strategies as st

from scenarios.load.accounts import Accounts, ToldLedger
from simulators.fleet.entries import RUN_OVER, Answer
from simulators.fleet.ledger import Ledger
from simulators.fleet.totals import FOREIGN


def ledger_of(worker, commands, *, delivered=None):
    ledger = Ledger()
    for number in range(commands):
        correlation = f"run-{worker}-{number}"
        ledger.sent(correlation, device_id=f"dev-{worker}", command="configuration", at_s=0.0)
        ledger.answered(correlation, Answer.ACCEPTED)
        if delivered is None or number < delivered:
            ledger.delivered(correlation, device_id=f"dev-{worker}", at_s=1.0)
    return ledger


def announced(accounts, worker, commands):
    for number in range(commands):
        accounts.announced(worker, (f"run-{worker}-{number}", f"dev-{worker}", "configuration", 0.0))


def test_ledgers_that_were_handed_in_are_one():
    accounts = Accounts(late_after_s=10.0)
    accounts.deal(["a", "b"])
    for worker, commands in (("a", 3), ("b", 2)):
        announced(accounts, worker, commands)
        accounts.handed_in(worker, ledger_of(worker, commands).to_json(), {"facts": {"connects": commands, "wrong_images": 0}})
    totals = accounts.merged().totals()
    assert (totals.sent, totals.delivered_once, accounts.missing()) == (5, 5, [])
    assert accounts.circumstances().facts == {"connects": 5, "wrong_images": 0}


def test_the_commands_of_a_dead_worker_are_unknown():
    accounts = Accounts(late_after_s=10.0)
    accounts.deal(["a", "b"])
    announced(accounts, "b", 4)
    accounts.handed_in("a", ledger_of("a", 3).to_json(), {})
    totals = accounts.merged().totals()
    assert accounts.missing() == ["b"]
    assert (totals.sent, totals.unknown, totals.delivered_once) == (7, 4, 3)
    assert totals.is_green


def test_a_loss_in_one_ledger_is_a_loss_in_the_merged_one():
    accounts = Accounts(late_after_s=10.0)
    accounts.handed_in("a", ledger_of("a", 3, delivered=2).to_json(), {})
    totals = accounts.merged().totals()
    assert totals.lost == 1
    assert "run-a-2" in totals.named["lost"][0]


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20), st.booleans()), max_size=5))
def test_the_merged_ledger_adds_up_whoever_dies(workers):
    accounts = Accounts(late_after_s=10.0)
    accounts.deal([str(index) for index in range(len(workers))])
    for index, (commands, delivered, dies) in enumerate(workers):
        announced(accounts, str(index), commands)
        if not dies:
            accounts.handed_in(str(index), ledger_of(index, commands, delivered=delivered).to_json(), {})
    totals = accounts.merged().totals()
    assert totals.adds_up()
    assert totals.sent == sum(commands for commands, _, _ in workers)
    assert totals.unknown == sum(commands for commands, _, dies in workers if dies)


def told_ledger():
    told, over = [], []
    ledger = ToldLedger(late_after_s=10.0, tell=lambda *entry: told.append(entry), download_over=over.append)
    return ledger, told, over


def test_a_second_delivery_is_a_failed_entry():
    ledger, told, _ = told_ledger()
    ledger.sent("c", device_id="dev-1", command="configuration", at_s=0.0)
    ledger.delivered("c", device_id="dev-1", at_s=0.5)
    ledger.delivered("c", device_id="dev-1", at_s=1.5)
    assert told == [("MQTT", "delivery", 0.5, ""), ("MQTT", "delivery", 1.5, "delivered again")]


def test_a_delivery_without_a_send_is_a_failed_entry():
    ledger, told, _ = told_ledger()
    ledger.delivered("an-earlier-run-1-7", device_id="dev-1", at_s=0.4)
    ledger.delivered(f"{FOREIGN}dev-1/control/reboot", device_id="dev-1", at_s=0.5)
    assert told == [("MQTT", "delivery", 0.0, "unexpected: no send explains it")]


def test_both_ends_of_a_download_are_told():
    ledger, told, over = told_ledger()
    ledger.sent("download:dev-1:1", device_id="dev-1", command="download_firmware", at_s=0.0)
    ledger.offered("key", device_id="dev-1", at_s=0.1)
    ledger.downloaded("key", size_bytes=10, duration_s=2.0)
    ledger.download_failed("key", reason="HTTP status 410", size_bytes=0, duration_s=1.0)
    ledger.download_failed("key", reason=RUN_OVER, size_bytes=0, duration_s=1.0)
    assert told[1:] == [("HTTP", "download", 2.0, ""), ("HTTP", "download", 1.0, "HTTP status 410")]
    assert over == ["dev-1", "dev-1"]
