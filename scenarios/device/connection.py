"""Questions about the connection: login, loss, restart of the broker, refusals, and the console of a device that boots."""

from harness.device_operations import (
    Boot,
    CutConnection,
    Interfere,
    PowerCut,
    RestartBroker,
    Settle,
    SpoilDownload,
    Store,
    StoredFile,
    Tell,
    Until,
    UntilConnected,
    is_listening,
)
from harness.device_scenario import DeviceCast, DeviceNeeds
from harness.faults import Cut, Duplicate, FaultPlan, PacketEvent, PacketFault, Rewrite
from harness.scenario import Workload, scenario
from harness.wire.commands import CONFIGURATION, DOWNLOADS, REBOOT
from scenarios.device.steps import download, let_in, one_fault, requests_of, settle_s, tell, until_back, until_cut_and_back

_ANY = DeviceNeeds(commands=(CONFIGURATION,))
_REFUSALS = 3
_REFUSALS_FULL = 5
_ROUND_S_MAX = 60.0
_SERVER_UNAVAILABLE = 3
_OUTAGE_S = 60.0


@scenario(
    "device_logs_in_with_its_token",
    "declared_session_is_kept",
    subject="device",
    needs=DeviceNeeds(persistent_session=True),
    duration_s=2.0,
)
def login_with_a_session(cast: DeviceCast) -> Workload:
    """The device connects."""
    yield from _log_in(cast)


@scenario("device_logs_in_with_its_token", subject="device", needs=DeviceNeeds(), duration_s=2.0)
def login(cast: DeviceCast) -> Workload:
    """The device connects again after its connection was lost."""
    yield from _log_in(cast)


def _log_in(cast: DeviceCast) -> Workload:
    is_there = yield Boot(may_be_refused=True)
    if not is_there:
        return  # Its CONNECT tells why.
    yield CutConnection()
    yield UntilConnected(cast.declares.connect_s)


def _serves_again(cast: DeviceCast) -> Workload:
    """Waits until the device listens again, and gives it a command."""
    yield from until_back(cast)
    yield Settle(settle_s(cast))
    yield from tell(cast, CONFIGURATION, cast.configurations[0])


@scenario("device_comes_back", subject="device", needs=_ANY, duration_s=5.0)
def network_is_lost(cast: DeviceCast) -> Workload:
    """The network connection is lost, twice."""
    yield Boot()
    for _ in range(2):
        yield CutConnection()
        yield from _serves_again(cast)


@scenario(
    "device_comes_back",
    "device_subscribes_to_its_own_topics",
    "device_asks_for_qos_2",
    subject="device",
    needs=_ANY,
    duration_s=6.0,
)
def broker_restarts(cast: DeviceCast) -> Workload:
    """The broker is restarted and has lost its sessions."""
    yield Boot()
    yield RestartBroker(down_s=1.0)
    yield from _serves_again(cast)


@scenario("device_comes_back", subject="device", needs=_ANY, duration_s=_OUTAGE_S + 20.0, full_only=True)
def broker_is_away_for_a_minute(cast: DeviceCast) -> Workload:
    """The broker is away for a minute."""
    yield Boot()
    yield RestartBroker(down_s=_OUTAGE_S)
    yield from _serves_again(cast)


def _refused(cast: DeviceCast, refusals: int) -> Workload:
    """The connection is lost, and the next connects are refused with 'server unavailable'."""
    answer = PacketEvent(packet="CONNACK", sent_by="server", times=refusals)
    yield Interfere(
        FaultPlan(
            packets=(
                PacketFault(name="CONNACK 3", at=answer, action=Rewrite(session_present=False, return_code=_SERVER_UNAVAILABLE)),
                PacketFault(name="connection closed", at=answer, action=Cut(when="after")),
            )
        )
    )
    yield CutConnection(before_refusals=refusals)
    yield Until(let_in, _ROUND_S_MAX)


@scenario("reconnects_back_off", subject="device", needs=DeviceNeeds(), duration_s=8.0)
def connects_are_refused(cast: DeviceCast) -> Workload:
    """Connects are refused several times in a row."""
    yield Boot()
    yield from _refused(cast, _REFUSALS)


@scenario("reconnects_back_off", "reconnects_are_scattered", subject="device", needs=DeviceNeeds(), duration_s=60.0, full_only=True)
def connects_are_refused_in_two_rounds(cast: DeviceCast) -> Workload:
    """Connects are refused ten times, in two rounds."""
    yield Boot()
    for _ in range(2):
        yield from _refused(cast, _REFUSALS_FULL)
        yield Settle(settle_s(cast))


@scenario("token_is_not_on_the_console", subject="device", needs=DeviceNeeds(console=True, power=True), duration_s=5.0)
def boot_with_an_eye_on_the_console(cast: DeviceCast) -> Workload:
    """The device's power is cut; it boots, connects, and downloads, the second time in vain."""
    yield Boot()
    yield PowerCut()
    yield Until(is_listening, cast.declares.connect_s)
    for command in DOWNLOADS:
        if command in cast.declares.commands:
            yield from download(cast, command)
            yield SpoilDownload("error", {"status": 403}, times=requests_of(cast))
            yield from download(cast, command)
            yield SpoilDownload("error", times=0)
    yield Settle(settle_s(cast))


_QOS_1 = PacketEvent(packet="PUBLISH", sent_by="server", qos=1, topic="+/control/+")


@scenario(
    "repeated_qos_1_command_has_one_effect",
    subject="device",
    needs=DeviceNeeds(any_download=True, qos=1),
    duration_s=4.0,
)
def qos_1_download_repeated(cast: DeviceCast) -> Workload:
    """A download command is repeated with DUP before its PUBACK."""
    yield Boot()
    command = cast.download_command
    stored: StoredFile = yield Store(DOWNLOADS[command])
    yield Interfere(one_fault("PUBLISH repeated", _QOS_1, Duplicate(copies=1, dup=True)))
    yield Tell(command, {"file_name": stored.name})
    yield Settle(cast.declares.result_s)


@scenario(
    "repeated_qos_1_command_has_one_effect",
    subject="device",
    needs=DeviceNeeds(commands=(REBOOT,), qos=1, persistent_session=True),
    duration_s=10.0,
)
def qos_1_reboot_delivered_again(cast: DeviceCast) -> Workload:
    """The connection is lost before a reboot's PUBACK arrives: the resumed session delivers the command again."""
    yield Boot()
    receipt = PacketEvent(packet="PUBACK", sent_by="client", topic="+/control/+")
    yield Interfere(one_fault("cut before PUBACK", receipt, Cut(when="before")))
    yield Tell(REBOOT)
    yield from until_cut_and_back(cast)
    yield Settle(cast.declares.reboot_s)
