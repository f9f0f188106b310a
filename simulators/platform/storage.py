"""The projects' storage: a stored file is a record in the store and bytes among the contents, put there and taken away together.

What a portal user does with files. Several processes may do it at once on one state directory (`hooks`), and each may be killed anywhere: a
kill leaves bytes without a file at worst, never a file without its bytes.
"""

from harness.clock import Clock
from harness.wire.files import FileType
from simulators.platform.contents import Contents, Incoming
from simulators.platform.files import StoredFile
from simulators.platform.store import Store
from simulators.platform.trail import Happening, Trail


class Storage:
    """The files of all projects. Names must have passed `file_name_problem`."""

    def __init__(self, store: Store, contents: Contents, clock: Clock, trail: Trail) -> None:
        self._store = store
        self._contents = contents
        self._clock = clock
        self._trail = trail

    def put(self, project_id: str, file_type: FileType, name: str, data: bytes, description: str = "") -> StoredFile:
        """Stores a file, in place of one with the same name.   Source: LST-06."""
        with self.receive() as incoming:
            incoming.write(data)
            return self.keep(incoming, project_id, file_type, name, description)

    def receive(self) -> Incoming:
        """A place for a file that arrives piece by piece; `keep` makes it a stored one."""
        return self._contents.receive()

    def keep(self, incoming: Incoming, project_id: str, file_type: FileType, name: str, description: str) -> StoredFile:
        """Stores what has come in, in place of a file with the same name."""
        incoming.flush()  # before the store is locked: it may take its time
        with self._store.transaction():
            content = incoming.keep()
            record = StoredFile(0, project_id, file_type, name, description, self._clock.utc_s(), content.size_bytes, content.sha256)
            replaced = self._store.file(project_id, file_type, name)
            stored = self._store.put_file(record)
        self._drop_unwanted(replaced)
        facts = {"project_id": project_id, "type": file_type.value, "name": name, "size": stored.size_bytes}
        self._trail.add(Happening.FILE_UPLOADED, facts=facts)
        return stored

    def delete(self, project_id: str, file_type: FileType, name: str) -> bool:
        """Deletes a stored file; False where there is none. Copies of issued downloads stay until their keys end."""
        with self._store.transaction():
            stored = self._store.file(project_id, file_type, name)
            deleted = self._store.delete_file(project_id, file_type, name)
        self._drop_unwanted(stored)
        if deleted:
            self._trail.add(Happening.FILE_DELETED, facts={"project_id": project_id, "type": file_type.value, "name": name})
        return deleted

    def _drop_unwanted(self, file: StoredFile | None) -> None:
        """Removes the bytes of a file that is no more, unless another has the same. After its record's end is committed."""
        if file is not None:
            with self._store.transaction():  # so that no other process stores them again meanwhile
                self._remove_unless_wanted(file.sha256)

    def remove_orphans(self) -> None:
        """Deletes what a killed process left behind: bytes that no file has."""
        with self._store.transaction():  # so that no other process is between its bytes and their record
            for sha256 in list(self._contents.stored()):
                self._remove_unless_wanted(sha256)

    def _remove_unless_wanted(self, sha256: str) -> None:
        if not self._store.is_content_wanted(sha256):
            self._contents.remove(sha256)
