"""A device that talks to itself comes to an end, and one that says what it was asked for does not notice."""

from simulators.broker.port import DevicePrincipal, LoginTable
from simulators.counterpart.allowance import MESSAGES_MAX, Allowance, BoundedDirectory, BoundedPrincipal

OWN = "dev-1/control/reboot/result"


def bounded(told):
    return BoundedPrincipal(DevicePrincipal("dev-1"), Allowance(lambda: told.append("flood")))


def test_a_device_may_say_as_much_as_its_allowance_and_no_more():
    told = []
    principal = bounded(told)
    assert [principal.may_write(OWN) for _ in range(MESSAGES_MAX + 2)] == [True] * MESSAGES_MAX + [False] * 2
    assert told == ["flood"]


def test_the_next_scenario_brings_a_new_allowance():
    principal = bounded([])
    principal.allowance.left = 0
    principal.allowance.renew()
    assert principal.may_write(OWN)


def test_what_a_device_may_not_write_anyway_costs_it_nothing():
    principal = bounded([])
    assert not principal.may_write("dev-2/control/reboot/result")
    assert principal.allowance.left == MESSAGES_MAX


def test_rights_to_read_and_logins_are_those_of_the_directory():
    directory = BoundedDirectory(LoginTable({}), Allowance(lambda: None))
    assert directory.authenticate("dev-1", "dev-1", b"wrong") is None
    assert list(directory.logins()) == []
    assert bounded([]).may_read("dev-1/#")
    assert not bounded([]).may_read("#")
