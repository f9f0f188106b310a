"""What the platform remembers, in SQLite: records, keys, and the audit trail.

The theory: each change is one statement or one short transaction in WAL mode, so a SIGKILL at any point leaves the state before or after
it, and two platform processes may share one file. A key is claimed by a single UPDATE that names the state it must be in: whoever changes
the row has the key. Only digests of tokens and keys are stored. Statements run in the event loop: each takes microseconds, and nothing
here needs a thread, so the store works unchanged on a simulated loop. What the rows mean is left to the cores.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.wire.commands import DeviceKind
from harness.wire.files import FileType
from simulators.platform.access import Caller, Device, Organisation, Project
from simulators.platform.files import StoredFile
from simulators.platform.keys import NEXT_STATE, DownloadKey, KeyEvent, KeyState, Span

BUSY_TIMEOUT_S = 5.0  # how long a statement waits for the other process's transaction

# Each entry takes the schema one version further; an entry never changes once it has been released.
MIGRATIONS = (
    """
    CREATE TABLE organisations (id TEXT PRIMARY KEY, name TEXT NOT NULL, has_feature INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE projects (id TEXT PRIMARY KEY, organisation_id TEXT NOT NULL REFERENCES organisations, name TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE devices (
        id TEXT PRIMARY KEY, project_id TEXT NOT NULL REFERENCES projects, name TEXT NOT NULL, kind TEXT NOT NULL,
        allowed_commands TEXT NOT NULL, disposable INTEGER NOT NULL, token_digest BLOB NOT NULL UNIQUE) WITHOUT ROWID;
    CREATE INDEX devices_of_project ON devices (project_id);
    CREATE TABLE api_keys (
        digest BLOB PRIMARY KEY, name TEXT NOT NULL, organisation_id TEXT NOT NULL REFERENCES organisations, scopes TEXT NOT NULL
        ) WITHOUT ROWID;
    CREATE TABLE files (
        id INTEGER PRIMARY KEY AUTOINCREMENT, project_id TEXT NOT NULL REFERENCES projects, type TEXT NOT NULL, name TEXT NOT NULL,
        description TEXT NOT NULL, uploaded_at_s REAL NOT NULL, size_bytes INTEGER NOT NULL, sha256 TEXT NOT NULL,
        UNIQUE (project_id, type, name));
    CREATE INDEX files_by_content ON files (sha256);
    CREATE TABLE download_keys (
        id INTEGER PRIMARY KEY AUTOINCREMENT, digest BLOB NOT NULL UNIQUE, device_id TEXT NOT NULL, project_id TEXT NOT NULL,
        file_type TEXT NOT NULL, file_name TEXT NOT NULL, size_bytes INTEGER NOT NULL, issued_at_s REAL NOT NULL,
        expires_at_s REAL NOT NULL, state TEXT NOT NULL, covered TEXT NOT NULL DEFAULT '[]');
    CREATE INDEX live_keys_by_end ON download_keys (expires_at_s) WHERE state = 'issued';
    CREATE TABLE audit (
        id INTEGER PRIMARY KEY AUTOINCREMENT, at_s REAL NOT NULL, kind TEXT NOT NULL, device_id TEXT NOT NULL,
        trace TEXT NOT NULL, facts TEXT NOT NULL);
    CREATE INDEX audit_of_device ON audit (device_id, id);
    CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    """,
)

_DEVICE = (
    "SELECT d.id, d.project_id, p.organisation_id, d.name, d.kind, d.allowed_commands, d.disposable "
    "FROM devices d JOIN projects p ON p.id = d.project_id "
)
_FILE = "SELECT id, project_id, type, name, description, uploaded_at_s, size_bytes, sha256 FROM files "
_KEY = "SELECT id, device_id, project_id, file_type, file_name, size_bytes, issued_at_s, expires_at_s, state, covered FROM download_keys "


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One line of the audit trail. `trace` is the caller's trace id (traceparent), or empty."""

    id: int
    at_s: float
    kind: str
    device_id: str
    trace: str
    facts: dict[str, Any]


class Store:
    """All records behind methods that take and return the cores' values. `path` None keeps everything in memory."""

    def __init__(self, path: Path | None) -> None:
        self._db = sqlite3.connect(path or ":memory:", timeout=BUSY_TIMEOUT_S, isolation_level=None, cached_statements=256)
        if path is not None:
            self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")  # a SIGKILL loses nothing; a power cut may lose the last moment
        self._db.execute("PRAGMA foreign_keys = ON")
        self._migrate()

    def close(self) -> None:
        self._db.close()

    def _migrate(self) -> None:
        with self.transaction():
            (version,) = self._db.execute("PRAGMA user_version").fetchone()
            if version > len(MIGRATIONS):
                raise ValueError(f"the state was written by a newer version (schema {version}, known {len(MIGRATIONS)})")
            for number, script in enumerate(MIGRATIONS[version:], version + 1):
                for statement in script.split(";"):  # executescript would end the transaction
                    self._db.execute(statement)
                self._db.execute(f"PRAGMA user_version = {number}")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing, and alone: the other process waits meanwhile."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    # --- organisations, projects, devices, API keys ---

    def add_organisation(self, organisation: Organisation) -> None:
        """Adds it, or changes its name and feature switch."""
        self._db.execute(
            "INSERT INTO organisations VALUES (?, ?, ?) "
            "ON CONFLICT (id) DO UPDATE SET name = excluded.name, has_feature = excluded.has_feature",
            (organisation.id, organisation.name, organisation.has_feature),
        )

    def add_project(self, project: Project) -> None:
        """Adds it; one that is there already stays as it is."""
        self._db.execute("INSERT OR IGNORE INTO projects VALUES (?, ?, ?)", (project.id, project.organisation_id, project.name))

    def add_devices(self, devices: Iterable[tuple[Device, bytes]]) -> None:
        """Adds devices with their tokens' digests, all or none; those that are there already stay as they are."""
        with self.transaction():
            self._db.executemany(
                "INSERT OR IGNORE INTO devices VALUES (?, ?, ?, ?, ?, ?, ?)",
                ((d.id, d.project_id, d.name, d.kind.value, d.allowed_commands, d.disposable, token_digest) for d, token_digest in devices),
            )

    def remove_device(self, device_id: str) -> bool:
        return self._db.execute("DELETE FROM devices WHERE id = ?", (device_id,)).rowcount == 1

    def set_allowed_commands(self, device_id: str, allowed_commands: str) -> bool:
        """Changes the device's metadata; False where there is no such device."""
        changed = self._db.execute("UPDATE devices SET allowed_commands = ? WHERE id = ?", (allowed_commands, device_id))
        return changed.rowcount == 1

    def add_api_key(self, digest: bytes, name: str, organisation_id: str, scopes: Iterable[str]) -> None:
        self._db.execute("INSERT OR REPLACE INTO api_keys VALUES (?, ?, ?, ?)", (digest, name, organisation_id, " ".join(sorted(scopes))))

    def caller(self, digest: bytes) -> Caller | None:
        """Whoever holds the API key of that digest."""
        row = self._db.execute(
            "SELECT k.name, k.scopes, o.id, o.name, o.has_feature FROM api_keys k JOIN organisations o ON o.id = k.organisation_id "
            "WHERE k.digest = ?",
            (digest,),
        ).fetchone()
        return Caller(row[0], Organisation(row[2], row[3], bool(row[4])), frozenset(row[1].split())) if row else None

    def organisation(self, organisation_id: str) -> Organisation | None:
        row = self._db.execute("SELECT id, name, has_feature FROM organisations WHERE id = ?", (organisation_id,)).fetchone()
        return Organisation(row[0], row[1], bool(row[2])) if row else None

    def project(self, project_id: str) -> Project | None:
        row = self._db.execute("SELECT id, organisation_id, name FROM projects WHERE id = ?", (project_id,)).fetchone()
        return Project(*row) if row else None

    def projects(self, organisation_id: str | None = None) -> list[Project]:
        """All projects of one organisation, or of all."""
        rows = self._db.execute(
            "SELECT id, organisation_id, name FROM projects WHERE ?1 IS NULL OR organisation_id = ?1 ORDER BY name, id", (organisation_id,)
        )
        return [Project(*row) for row in rows]

    def device(self, device_id: str) -> Device | None:
        return _device(self._db.execute(_DEVICE + "WHERE d.id = ?", (_text(device_id),)).fetchone())

    def device_with_token(self, token_digest: bytes) -> Device | None:
        return _device(self._db.execute(_DEVICE + "WHERE d.token_digest = ?", (token_digest,)).fetchone())

    def is_token_of(self, device_id: str, token_digest: bytes) -> bool:
        """Whether the device exists and that is its token."""
        row = self._db.execute("SELECT 1 FROM devices WHERE id = ? AND token_digest = ?", (_text(device_id), token_digest)).fetchone()
        return row is not None

    def devices(self, project_id: str | None = None) -> Iterator[Device]:
        """All devices of one project, or of all."""
        for row in self._db.execute(_DEVICE + "WHERE ?1 IS NULL OR d.project_id = ?1 ORDER BY d.name, d.id", (project_id,)):
            device = _device(row)
            assert device is not None
            yield device

    # --- files ---

    def put_file(self, file: StoredFile) -> StoredFile:
        """Stores the record, in place of one with the same project, type and name; returns it with its id."""
        (file_id,) = self._db.execute(
            "INSERT INTO files (project_id, type, name, description, uploaded_at_s, size_bytes, sha256) VALUES (?, ?, ?, ?, ?, ?, ?) "
            "ON CONFLICT (project_id, type, name) DO UPDATE SET description = excluded.description, "
            "uploaded_at_s = excluded.uploaded_at_s, size_bytes = excluded.size_bytes, sha256 = excluded.sha256 RETURNING id",
            (file.project_id, file.type.value, file.name, file.description, file.uploaded_at_s, file.size_bytes, file.sha256),
        ).fetchone()
        stored = self.file_with_id(file_id)
        assert stored is not None
        return stored

    def delete_file(self, project_id: str, file_type: FileType, name: str) -> bool:
        deleted = self._db.execute(
            "DELETE FROM files WHERE project_id = ? AND type = ? AND name = ?", (project_id, file_type.value, _text(name))
        )
        return deleted.rowcount == 1

    def file(self, project_id: str, file_type: FileType, name: str) -> StoredFile | None:
        """The file of exactly that name."""
        return _file(
            self._db.execute(
                _FILE + "WHERE project_id = ? AND type = ? AND name = ?", (_text(project_id), file_type.value, _text(name))
            ).fetchone()
        )

    def file_with_id(self, file_id: int) -> StoredFile | None:
        return _file(self._db.execute(_FILE + "WHERE id = ?", (file_id,)).fetchone())

    def project_files(self, project_id: str, file_type: FileType) -> list[StoredFile]:
        rows = self._db.execute(_FILE + "WHERE project_id = ? AND type = ? ORDER BY id", (_text(project_id), file_type.value))
        return [file for row in rows if (file := _file(row))]

    def organisation_files(self, organisation_id: str | None, file_type: FileType) -> list[StoredFile]:
        """The files of all projects of one organisation, or of all."""
        rows = self._db.execute(
            _FILE + "WHERE type = ?2 AND (?1 IS NULL OR project_id IN (SELECT id FROM projects WHERE organisation_id = ?1)) ORDER BY id",
            (organisation_id, file_type.value),
        )
        return [file for row in rows if (file := _file(row))]

    def is_content_wanted(self, sha256: str) -> bool:
        """Whether any stored file has these bytes."""
        return self._db.execute("SELECT 1 FROM files WHERE sha256 = ? LIMIT 1", (sha256,)).fetchone() is not None

    # --- download keys ---

    def issue_key(self, digest: bytes, key: DownloadKey) -> int:
        """Stores a fresh key (its own id and state do not count); returns the id that it has from now on."""
        cursor = self._db.execute(
            "INSERT INTO download_keys (digest, device_id, project_id, file_type, file_name, size_bytes, issued_at_s, expires_at_s, state) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                digest, key.device_id, key.project_id, key.file_type.value, key.file_name, key.size_bytes, key.issued_at_s,
                key.expires_at_s, KeyState.ISSUED.value,
            ),
        )  # fmt: skip
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def key(self, digest: bytes) -> DownloadKey | None:
        return _key(self._db.execute(_KEY + "WHERE digest = ?", (digest,)).fetchone())

    def key_with_id(self, key_id: int) -> DownloadKey | None:
        return _key(self._db.execute(_KEY + "WHERE id = ?", (key_id,)).fetchone())

    def change_key(self, key_id: int, event: KeyEvent) -> bool:
        """Takes the key one step of its state table further, atomically; False where the table has no such step.

        Of any number of concurrent claims, in any number of processes, exactly one gets True.   Source: KEY-02, KEY-03.
        """
        steps = [(state.value, target.value) for (state, known), target in NEXT_STATE.items() if known is event]
        (after,) = {target for _, target in steps}
        before = [state for state, _ in steps]
        changed = self._db.execute(
            f"UPDATE download_keys SET state = ? WHERE id = ? AND state IN ({', '.join('?' * len(before))})", (after, key_id, *before)
        )
        return changed.rowcount == 1

    def reissue_key(self, key_id: int) -> None:
        """Against the state table, for planned faults only: a used key is as good as new."""
        self._db.execute("UPDATE download_keys SET state = 'issued' WHERE id = ? AND state = 'used'", (key_id,))

    def set_covered(self, key_id: int, covered: Iterable[Span]) -> None:
        self._db.execute("UPDATE download_keys SET covered = ? WHERE id = ?", (json.dumps(list(covered)), key_id))

    def keys_ending_by(self, now_s: float, *, limit: int) -> list[DownloadKey]:
        """Keys in state ISSUED whose life is over at `now_s`; at most `limit` of them."""
        rows = self._db.execute(_KEY + "WHERE state = 'issued' AND expires_at_s <= ? LIMIT ?", (now_s, limit))
        return [key for row in rows if (key := _key(row))]

    def next_key_end_s(self) -> float | None:
        """When the next key in state ISSUED ends, in seconds UTC."""
        (end_s,) = self._db.execute("SELECT MIN(expires_at_s) FROM download_keys WHERE state = 'issued'").fetchone()
        return float(end_s) if end_s is not None else None

    def live_key_count(self) -> int:
        return int(self._db.execute("SELECT COUNT(*) FROM download_keys WHERE state = 'issued'").fetchone()[0])

    # --- audit trail and settings ---

    def record(self, at_s: float, kind: str, device_id: str, trace: str, facts: Mapping[str, Any]) -> int:
        """Adds a line to the audit trail and returns its number. Secrets must not stand in `facts`."""
        cursor = self._db.execute(
            "INSERT INTO audit (at_s, kind, device_id, trace, facts) VALUES (?, ?, ?, ?, ?)",
            (at_s, kind, device_id, trace, json.dumps(facts)),
        )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def audit(self, *, device_id: str | None = None, after_id: int = 0, limit: int = 1_000) -> list[AuditEntry]:
        """Lines of the trail after `after_id`, oldest first; of one device, or of all."""
        rows = self._db.execute(
            "SELECT id, at_s, kind, device_id, trace, facts FROM audit WHERE id > ? AND (?2 IS NULL OR device_id = ?2) ORDER BY id LIMIT ?",
            (after_id, device_id, limit),
        )
        return [AuditEntry(row[0], row[1], row[2], row[3], row[4], json.loads(row[5])) for row in rows]

    def last_audit_id(self, device_id: str, *, lines_back: int) -> int:
        """The number before the last `lines_back` lines of one device's trail."""
        row = self._db.execute(
            "SELECT id FROM audit WHERE device_id = ? ORDER BY id DESC LIMIT 1 OFFSET ?", (device_id, lines_back)
        ).fetchone()
        return int(row[0]) if row else 0

    def setting(self, name: str) -> str | None:
        row = self._db.execute("SELECT value FROM settings WHERE name = ?", (name,)).fetchone()
        return str(row[0]) if row else None

    def put_setting(self, name: str, value: str) -> None:
        self._db.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", (name, value))


def _text(value: str) -> str:
    """A text that SQLite can take: lone surrogates, which no stored value holds, are replaced."""
    return value.encode("utf-8", "replace").decode()


def _device(row: tuple[Any, ...] | None) -> Device | None:
    return Device(row[0], row[1], row[2], row[3], DeviceKind(row[4]), row[5], bool(row[6])) if row else None


def _file(row: tuple[Any, ...] | None) -> StoredFile | None:
    return StoredFile(row[0], row[1], FileType(row[2]), *row[3:]) if row else None


def _key(row: tuple[Any, ...] | None) -> DownloadKey | None:
    if row is None:
        return None
    covered = tuple((first, end) for first, end in json.loads(row[9]))
    return DownloadKey(row[0], row[1], row[2], FileType(row[3]), row[4], row[5], row[6], row[7], KeyState(row[8]), covered)
