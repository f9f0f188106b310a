"""Questions about the lists of stored files."""

from harness.history.events import Headers
from harness.operations import Call
from harness.scenario import Cast, Needs, Workload, scenario
from harness.wire.responses import ORGANISATION_FILES_PATH, project_files_path
from scenarios.platform.steps import bearer

_NOBODY = Needs(devices={})


def _list_call(path: str, query: str, credential: str, headers: Headers, project_id: str = "") -> Call:
    return Call("GET", path + query, "files", credential, headers, project_id=project_id)


@scenario(
    "list_names_the_stored_files",
    "entries_describe_the_file",
    "list_body_is_an_object_with_files",
    "answers_are_json",
    needs=_NOBODY,
)
def lists_of_each_project(cast: Cast) -> Workload:
    """The lists of each project and of the organisation, for both types."""
    platform = cast.platform
    for file_type in ("firmware", "logo"):
        yield _list_call(ORGANISATION_FILES_PATH, f"?type={file_type}", "api-key:full", bearer(platform))
        for project in platform.projects:
            yield _list_call(project_files_path(project.id), f"?type={file_type}", "api-key:full", bearer(platform), project.id)


@scenario("list_without_valid_type_is_refused", "error_bodies_follow_the_contract", needs=_NOBODY)
def lists_of_no_type(cast: Cast) -> Workload:
    """Lists with a missing, empty, unknown or miswritten type."""
    platform = cast.platform
    for query in ("", "?type=", "?type=image", "?type=Firmware", "?type=firmware,logo", "?kind=firmware"):
        yield _list_call(ORGANISATION_FILES_PATH, query, "api-key:full", bearer(platform))
        for project in platform.projects[:1]:
            yield _list_call(project_files_path(project.id), query, "api-key:full", bearer(platform), project.id)


@scenario("list_without_valid_key_is_unauthorized", "error_bodies_follow_the_contract", needs=_NOBODY)
def lists_without_valid_key(cast: Cast) -> Workload:
    """Lists with no key and with an unknown one."""
    platform = cast.platform
    for credential, headers in (("none", ()), ("unknown", (("Authorization", "Bearer QB_unknown_key_of_nobody"),))):
        yield _list_call(ORGANISATION_FILES_PATH, "?type=firmware", credential, headers)
        for project in platform.projects[:1]:
            yield _list_call(project_files_path(project.id), "?type=logo", credential, headers, project.id)


@scenario("read_only_key_may_list", needs=Needs(devices={}, api_keys=("read_only",)))
def lists_with_a_read_only_key(cast: Cast) -> Workload:
    """A list with a key that lacks the scope send-commands."""
    yield _list_call(ORGANISATION_FILES_PATH, "?type=firmware", "api-key:read_only", bearer(cast.platform, "read_only"))
