"""Keeps sessions, subscriptions, retained messages and messages under way in a SQLite file, so that they survive a kill.

The journal collects changes and writes them in one transaction per `commit`; the skin commits once for all that arrived together, and
lets no packet out before. Write-ahead log with `synchronous=NORMAL`: what was committed survives the death of the process at any moment;
the loss of the machine's power may cost the last transactions, never the file.
"""

import sqlite3
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from harness.errors import BenchError
from harness.mqtt.packets import Publish
from harness.mqtt.server_session import StoredMessage

FILE_NAME = "broker.sqlite3"

_SCHEMA = """
CREATE TABLE IF NOT EXISTS sessions (client_id TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS subscriptions (
    client_id TEXT, topic_filter TEXT, qos INTEGER, PRIMARY KEY (client_id, topic_filter)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS messages (
    client_id TEXT, number INTEGER, topic TEXT, payload BLOB, qos INTEGER, retain INTEGER, packet_id INTEGER,
    is_received INTEGER DEFAULT 0, PRIMARY KEY (client_id, number)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS incoming (client_id TEXT, packet_id INTEGER, PRIMARY KEY (client_id, packet_id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS retained (topic TEXT PRIMARY KEY, payload BLOB, qos INTEGER) WITHOUT ROWID;
"""

_OPEN = "INSERT OR IGNORE INTO sessions VALUES (?)"
_SUBSCRIBE = "INSERT OR REPLACE INTO subscriptions VALUES (?, ?, ?)"
_UNSUBSCRIBE = "DELETE FROM subscriptions WHERE client_id = ? AND topic_filter = ?"
_STORE = "INSERT INTO messages (client_id, number, topic, payload, qos, retain, packet_id) VALUES (?, ?, ?, ?, ?, ?, ?)"
_SEND = "UPDATE messages SET packet_id = ? WHERE client_id = ? AND number = ?"
# The payload is not needed any more: PUBREL is all that can be sent again.
_RECEIVE = "UPDATE messages SET is_received = 1, payload = x'' WHERE client_id = ? AND number = ?"
_FINISH = "DELETE FROM messages WHERE client_id = ? AND number = ?"
_ACCEPT = "INSERT OR IGNORE INTO incoming VALUES (?, ?)"
_RELEASE = "DELETE FROM incoming WHERE client_id = ? AND packet_id = ?"
_RETAIN = "INSERT OR REPLACE INTO retained VALUES (?, ?, ?)"
_UNRETAIN = "DELETE FROM retained WHERE topic = ?"
_REMOVALS = tuple(f"DELETE FROM {table} WHERE client_id = ?" for table in ("sessions", "subscriptions", "messages", "incoming"))


@dataclass(slots=True)
class KeptSession:
    """What the file says of one client."""

    subscriptions: dict[str, int] = field(default_factory=dict)
    messages: list[StoredMessage] = field(default_factory=list)
    incoming_ids: set[int] = field(default_factory=set)


class SqliteJournal:
    """A `BrokerJournal` over one file, which belongs to one broker at a time."""

    def __init__(self, directory: Path) -> None:
        """Raises BenchError when the directory cannot be used, or another process has the file."""
        path = directory / FILE_NAME
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(path, isolation_level=None, timeout=2.0)
            self._database.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = NORMAL")
            self._database.executescript(_SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise BenchError(f"the broker's state file {path} cannot be used: {error}") from error
        self._changes: list[tuple[str, tuple[Any, ...]]] = []

    @property
    def is_dirty(self) -> bool:
        """Whether there are changes that a kill would lose."""
        return bool(self._changes)

    def commit(self) -> None:
        """Makes all changes so far safe, in one transaction. Raises BenchError; then none of them is."""
        changes, self._changes = self._changes, []
        try:
            self._database.execute("BEGIN IMMEDIATE")
            for statement, group in groupby(changes, key=itemgetter(0)):
                self._database.executemany(statement, [values for _, values in group])
            self._database.execute("COMMIT")
        except sqlite3.Error as error:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise BenchError(f"the broker cannot write its state: {error}") from error

    def close(self) -> None:
        """Lets go of the file; uncommitted changes are lost."""
        self._database.close()

    def sessions(self) -> dict[str, KeptSession]:
        """All that is kept, by client id."""
        kept = {client_id: KeptSession() for (client_id,) in self._database.execute("SELECT client_id FROM sessions")}
        for client_id, topic_filter, qos in self._database.execute("SELECT client_id, topic_filter, qos FROM subscriptions"):
            kept[client_id].subscriptions[topic_filter] = qos
        for client_id, packet_id in self._database.execute("SELECT client_id, packet_id FROM incoming"):
            kept[client_id].incoming_ids.add(packet_id)
        # Released messages behind the others: PUBRELs are sent again after the PUBLISHes, as `ServerSession` orders them.
        rows = self._database.execute(
            "SELECT client_id, number, topic, payload, qos, retain, packet_id, is_received FROM messages ORDER BY is_received, number"
        )
        for client_id, number, topic, payload, qos, retain, packet_id, is_received in rows:
            message = Publish(topic, payload, qos, bool(retain), False, packet_id)
            kept[client_id].messages.append(StoredMessage(number, message, bool(is_received)))
        return kept

    def retained(self) -> list[Publish]:
        """All retained messages."""
        rows = self._database.execute("SELECT topic, payload, qos FROM retained")
        return [Publish(topic, payload, qos, True) for topic, payload, qos in rows]

    # --- BrokerJournal ---------------------------------------------------------------------------------------------------------------

    def session_opened(self, client_id: str) -> None:
        self._changes.append((_OPEN, (client_id,)))

    def session_removed(self, client_id: str) -> None:
        self._changes += [(removal, (client_id,)) for removal in _REMOVALS]

    def subscribed(self, client_id: str, topic_filter: str, qos: int) -> None:
        self._changes.append((_SUBSCRIBE, (client_id, topic_filter, qos)))

    def unsubscribed(self, client_id: str, topic_filter: str) -> None:
        self._changes.append((_UNSUBSCRIBE, (client_id, topic_filter)))

    def message_stored(self, client_id: str, number: int, message: Publish) -> None:
        values = (client_id, number, message.topic, message.payload, message.qos, message.retain, message.packet_id)
        self._changes.append((_STORE, values))

    def message_sent(self, client_id: str, number: int, packet_id: int) -> None:
        self._changes.append((_SEND, (packet_id, client_id, number)))

    def message_received(self, client_id: str, number: int) -> None:
        self._changes.append((_RECEIVE, (client_id, number)))

    def message_finished(self, client_id: str, number: int) -> None:
        self._changes.append((_FINISH, (client_id, number)))

    def incoming_stored(self, client_id: str, packet_id: int) -> None:
        self._changes.append((_ACCEPT, (client_id, packet_id)))

    def incoming_released(self, client_id: str, packet_id: int) -> None:
        self._changes.append((_RELEASE, (client_id, packet_id)))

    def retained_stored(self, message: Publish) -> None:
        self._changes.append((_RETAIN, (message.topic, message.payload, message.qos)))

    def retained_removed(self, topic: str) -> None:
        self._changes.append((_UNRETAIN, (topic,)))
