"""The device as a whole, without input and output: one effect and one result per command, wherever power or connection is cut."""

from dataclasses import dataclass, field, replace

from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from harness.mqtt.packets import Connack, Connect, Pubcomp, Publish, Pubrec, Pubrel, Suback, Subscribe
from simulators.device.downloader import Begin, Body, BodyEnd, Erase, Failed, Response, Write
from simulators.device.firmware import ApplyConfiguration
from simulators.device.flash import MemoryStorage, flash_from_json, flash_to_json
from simulators.device.machine import BeginDownload, DeviceMachine, DownloadDo, ExpectReboot, Restart, boot
from simulators.device.personality import REFERENCE
from simulators.device.settings import DeviceSettings

SETTINGS = DeviceSettings.reference(device_id="dev-1", token="token", mqtt_url="mqtt://127.0.0.1")


def count_configurations(notes, settings, flash, cause, effects):
    """Makes a doubled configuration visible: the applied value is how many were applied."""
    return tuple(
        ApplyConfiguration({"n": flash.configuration.get("n", 0) + 1}) if isinstance(effect, ApplyConfiguration) else effect
        for effect in effects
    )


COUNTING = replace(REFERENCE, executes=count_configurations)


@dataclass
class Server:
    """A broker that keeps every promise of QoS 2, for one client with a persistent session."""

    waiting: list = field(default_factory=list)  # (packet id, command, payload), not yet acknowledged by PUBREC
    sent: set = field(default_factory=set)
    released: list = field(default_factory=list)
    received: set = field(default_factory=set)
    results: list = field(default_factory=list)
    is_known: bool = False
    next_id: int = 1

    def command(self, command, payload):
        self.waiting.append((self.next_id, command, payload))
        self.next_id += 1

    def connected(self):
        """The packets that follow a CONNECT."""
        connack = Connack(self.is_known, 0)
        self.is_known = True
        return [connack, *(Pubrel(packet_id) for packet_id in self.released), *self.publishes(lambda packet_id: True)]

    def publishes(self, wanted):
        found = [entry for entry in self.waiting if wanted(entry[0])]
        packets = [
            Publish(f"dev-1/control/{command}", payload, 2, dup=packet_id in self.sent, packet_id=packet_id)
            for packet_id, command, payload in found
        ]
        self.sent.update(packet_id for packet_id, _, _ in found)
        return packets

    def fresh(self):
        return self.publishes(lambda packet_id: packet_id not in self.sent)

    def take(self, packet):
        match packet:
            case Connect():
                return self.connected()
            case Subscribe(packet_id, filters):
                return [Suback(packet_id, tuple(qos for _, qos in filters))]
            case Pubrec(packet_id):
                self.waiting = [entry for entry in self.waiting if entry[0] != packet_id]
                if packet_id not in self.released:
                    self.released.append(packet_id)
                return [Pubrel(packet_id)]
            case Pubcomp(packet_id):
                self.released = [released for released in self.released if released != packet_id]
                return []
            case Publish(topic, _, 2, packet_id=packet_id):
                if packet_id not in self.received:
                    self.received.add(packet_id)
                    self.results.append(topic.split("/")[2])
                return [Pubrec(packet_id)]
            case Pubrel(packet_id):
                self.received.discard(packet_id)
                return [Pubcomp(packet_id)]
        raise AssertionError(packet)


CUTS = ("none", "none", "before save", "after save", "after first packet")
IMAGES = (b"one" * 50, b"two" * 70)


class PowerCuts(RuleBasedStateMachine):
    """Commands, packets and cuts in any order; at the end everything is healed, and the books must balance."""

    @initialize()
    def start(self):
        self.storage = MemoryStorage()
        self.server = Server()
        self.sent = []
        self.reboots = 0
        self.power_up()

    def power_up(self):
        self.is_online = False
        flash = boot(self.storage.load(), SETTINGS, COUNTING, self.storage.sha256)
        self.machine = DeviceMachine(SETTINGS, flash, COUNTING)
        self.to_device, self.to_server = [], []
        self.downloads = {}
        self.is_grace_running = False
        self.do(self.machine.power_on())

    def do(self, step, cut="none"):
        """What a skin does with a step, or less: power may fail before the save, after it, or after the first packet."""
        if cut == "before save":
            return self.power_up()
        if step.save is not None:
            was_due = self.storage.load() is not None and self.storage.load().is_reboot_due
            self.reboots += step.save.is_reboot_due and not was_due
            self.storage.save(step.save)
        if cut == "after save":
            return self.power_up()
        if self.is_online:
            self.to_server += step.send[:1] if cut == "after first packet" else step.send
        if cut == "after first packet":
            self.hand_over_to_server()
            return self.power_up()
        return self.act(step.actions)

    def act(self, actions):
        for action in actions:
            match action:
                case Restart():
                    self.drain_to_server()
                    self.power_up()
                case ExpectReboot():
                    self.is_grace_running = True
                case BeginDownload(number, area):
                    self.downloads[number] = area
                case DownloadDo(number, Erase()):
                    self.storage.erase(self.downloads[number])
                case DownloadDo(number, Write(data)):
                    self.storage.append(self.downloads[number], data)

    def hand_over_to_server(self):
        if self.to_server:
            self.to_device += self.server.take(self.to_server.pop(0))

    def drain_to_server(self):
        while self.to_server:
            self.hand_over_to_server()

    @rule(command=st.sampled_from(["configuration", "send_configuration", "reboot", "unknown"]))
    def operator_sends(self, command):
        self.server.command(command, b"{}")
        self.sent.append(command)
        if self.machine.is_connected:
            self.to_device += self.server.fresh()

    @rule(image=st.sampled_from(IMAGES))
    def operator_sends_firmware(self, image):
        self.server.command("download_firmware", b'{"url":"http://h/%d"}' % IMAGES.index(image))
        self.sent.append("download_firmware")
        if self.machine.is_connected:
            self.to_device += self.server.fresh()

    def connect(self):
        self.machine.connection_lost()
        self.is_online = True
        self.to_device, self.to_server = [], [self.machine.connect()]

    @rule(packets=st.integers(1, 8), cut=st.sampled_from(CUTS))
    def packets_travel(self, packets, cut):
        """So many packets reach the device; `cut` is what happens at the last one."""
        if not self.is_online:
            self.connect()
        for left in reversed(range(packets)):
            self.drain_to_server()
            if not self.to_device:
                return
            self.do(self.machine.received(self.to_device.pop(0)), cut if left == 0 else "none")

    @rule(answers=st.integers(0, 3))
    def connection_is_cut(self, answers):
        """After so many of the device's packets have reached the server."""
        for _ in range(answers):
            self.hand_over_to_server()
        self.machine.connection_lost()
        self.is_online = False
        self.to_device, self.to_server = [], []

    @rule()
    def grace_ends(self):
        if self.is_grace_running:
            self.do(self.machine.grace_over())

    @rule(part=st.sampled_from(["whole", "cut", "refused", "torn"]))
    def download_goes_on(self, part):
        self.download(part)

    def download(self, part):
        """The running download gets its answer; `torn` is a power cut in the middle of the body."""
        jobs = list(self.downloads)
        if not jobs or not self.machine.is_downloading:
            return
        number, machine = jobs[-1], self.machine
        events = [Begin(), Response(401, {})] if part == "refused" else self.body(part)
        for event in events:
            if self.machine is machine:
                self.do(machine.downloading(number, event))
        if part == "torn":
            self.power_up()

    def body(self, part):
        content = IMAGES[self.machine.flash.next_job % 2]
        head = [Begin(), Response(200, {"content-length": str(len(content))}), Body(content[:20])]
        return {"whole": [*head, Body(content[20:]), BodyEnd()], "cut": [*head, Failed("cut")], "torn": head}[part]

    @invariant()
    def only_whole_images_boot(self):
        for shelf_image, area in [(self.storage.load().firmware, "firmware")] if self.storage.load() else []:
            if shelf_image.current is not None:
                content = bytes(self.storage.areas[f"{area}-{shelf_image.in_use}"])
                assert content in IMAGES
                assert self.storage.sha256(f"{area}-{shelf_image.in_use}") == shelf_image.current.sha256

    @invariant()
    def flash_survives_being_written_down(self):
        flash = self.storage.load()
        assert flash is None or flash_from_json(flash_to_json(flash)) == flash

    def teardown(self):
        if not hasattr(self, "machine"):
            return
        self.heal()
        assert self.storage.load().configuration.get("n", 0) == self.sent.count("configuration")
        assert sorted(self.server.results) == sorted(self.sent)
        # Two commands may share a reboot when the second comes while the first is due; none may have two.
        assert min(1, self.sent.count("reboot")) <= self.reboots <= self.sent.count("reboot")
        assert not self.storage.load().is_reboot_due
        assert not self.storage.load().jobs

    def heal(self):
        for _ in range(100 + 40 * len(self.sent)):
            if not self.is_online or (not self.machine.is_connected and not self.to_server and not self.to_device):
                self.connect()
            self.drain_to_server()
            if self.to_device:
                self.do(self.machine.received(self.to_device.pop(0)))
            else:
                self.download("whole")
                self.grace_ends()
                if self.machine.is_connected:
                    self.to_device += self.server.fresh()


TestPowerCuts = PowerCuts.TestCase
TestPowerCuts.settings = hypothesis_settings(stateful_step_count=40, deadline=None)
