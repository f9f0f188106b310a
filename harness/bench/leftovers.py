"""What a run has changed at the target and not yet changed back: pure bookkeeping, for a run that goes on and for one that was killed."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.history.events import Event, HookRun, MqttPacket, Stimulus

HOOK_ANNOUNCED = "hook"

HookValues = Mapping[str, str]


@dataclass
class Leftovers:
    """Files that were uploaded, lists of commands that were changed, a broker that was stopped, open sessions; each with what undoes it."""

    allowed_commands: Mapping[str, str]  # device id -> what the target file says
    _files: dict[tuple[str, ...], HookValues] = field(default_factory=dict)
    _lists: dict[str, HookValues] = field(default_factory=dict)
    _sessions: dict[str, None] = field(default_factory=dict)
    _is_broker_stopped: bool = False

    def hook_begins(self, name: str, values: HookValues) -> None:
        """A hook is about to be run: what it may leave behind is left from here on."""
        match name:
            case "upload_file":
                self._files[self._file(values)] = values
            case "set_allowed_commands":
                self._lists[values.get("device_id", "")] = values
            case "stop_broker":
                self._is_broker_stopped = True

    def hook_ended(self, name: str, values: HookValues, *, succeeded: bool) -> None:
        """A hook is over. A file whose upload was refused is not there; what could not be taken away or put back is still left."""
        device_id = values.get("device_id", "")
        match name:
            case "upload_file" if not succeeded:
                self._files.pop(self._file(values), None)
            case "delete_file" if succeeded:
                self._files.pop(self._file(values), None)
            case "set_allowed_commands" if succeeded and values.get("value") == self.allowed_commands.get(device_id):
                self._lists.pop(device_id, None)
            case "start_broker" if succeeded:
                self._is_broker_stopped = False

    def session_begins(self, device_id: str, *, clean: bool) -> None:
        """A played device connects; a clean session ends what was there before."""
        if clean:
            self._sessions.pop(device_id, None)
        else:
            self._sessions[device_id] = None

    def hooks(self) -> list[tuple[str, dict[str, str]]]:
        """The hooks that undo what is left, with their values."""
        deleted = [("delete_file", dict(values)) for values in self._files.values()]
        restored = [
            ("set_allowed_commands", {**values, "value": self.allowed_commands.get(device_id, "")})
            for device_id, values in self._lists.items()
        ]
        started: list[tuple[str, dict[str, str]]] = [("start_broker", {})] if self._is_broker_stopped else []
        return started + deleted + restored

    def sessions(self) -> list[str]:
        """The devices whose sessions are still there."""
        return list(self._sessions)

    @staticmethod
    def _file(values: HookValues) -> tuple[str, ...]:
        return tuple(values.get(name, "") for name in ("project_id", "type", "name"))


def leftovers_of(events: Iterable[Event], target: Mapping[str, Any]) -> Leftovers:
    """What the run of a journal has left behind."""
    left = Leftovers({device["id"]: device.get("allowed_commands", "") for device in target.get("devices", ())})
    begun: dict[tuple[str, str], HookValues] = {}  # by scenario and hook
    for event in events:
        match event.fact:
            case Stimulus(name=name, facts=facts) if name == HOOK_ANNOUNCED:
                begun[event.scope, facts["name"]] = facts["values"]
                left.hook_begins(facts["name"], facts["values"])
            case HookRun(name=name, status=status) if (event.scope, name) in begun:
                left.hook_ended(name, begun.pop((event.scope, name)), succeeded=status == 0)
            case MqttPacket(type="CONNECT", sent_by="client", device_id=device_id, clean_session=clean):
                left.session_begins(device_id, clean=bool(clean))
    return left
