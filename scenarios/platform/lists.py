"""Questions about the lists of stored files."""

from harness.history.events import FULL_API_KEY, Headers
from harness.scenario import Cast, Needs, Workload, scenario
from harness.wire.files import FileType
from scenarios.platform.steps import ORGANISATION, UNKNOWN_ID, bearer, list_call, raw_list_call

_NOBODY = Needs(devices={})
_REFUSED = ("error_bodies_follow_the_contract", "answers_are_json", "secrets_do_not_leak")


@scenario(
    "list_names_the_stored_files",
    "organisation_list_names_the_files_of_all_projects",
    "entries_are_of_the_type_and_size",
    "foreign_files_are_not_listed",
    "entries_describe_the_file",
    "list_body_is_an_object_with_files",
    "answers_are_json",
    needs=_NOBODY,
)
def lists_of_each_project(cast: Cast) -> Workload:
    """The lists of each project and of the organisation, for both types."""
    platform = cast.platform
    for file_type in FileType:
        for project_id in (ORGANISATION, *(project.id for project in platform.projects)):
            yield list_call(platform, project_id, file_type)


@scenario("list_without_valid_type_is_refused", *_REFUSED, needs=_NOBODY)
def lists_of_no_type(cast: Cast) -> Workload:
    """Lists with a missing, empty, unknown or miswritten type."""
    platform = cast.platform
    types = ("", "image", "Firmware", "LOGO", "firmware,logo", "firm", "firmwares", "firmware%20")
    for query in ("", "?type", "?kind=firmware", *(f"?type={file_type}" for file_type in types)):
        for project_id in (ORGANISATION, *(project.id for project in platform.projects[:1])):
            yield raw_list_call(project_id, query, FULL_API_KEY, bearer(platform))


@scenario("list_without_valid_key_is_unauthorized", *_REFUSED, needs=Needs())
def lists_without_valid_key(cast: Cast) -> Workload:
    """Lists with no key, with unknown and malformed ones, and with a device token."""
    platform, device = cast.platform, cast.device
    full = platform.api_keys.full
    values = ("Bearer QB_unknown_key_of_nobody", "Bearer", f"Bearer {full[:-1]}", f"Bearer {full}x", full, f"Basic {full}")
    attempts: list[tuple[str, Headers]] = [("none", ()), *(("unknown", (("Authorization", value),)) for value in values)]
    attempts += [(f"token:{device.id}", (("Authorization", f"{scheme} {device.token}"),)) for scheme in ("Bearer", "Basic")]
    for credential, headers in attempts:
        yield raw_list_call(ORGANISATION, "?type=firmware", credential, headers)
        yield raw_list_call(device.project_id, "?type=logo", credential, headers)


@scenario("foreign_files_are_not_listed", "list_body_is_an_object_with_files", needs=_NOBODY)
def lists_of_unknown_projects(cast: Cast) -> Workload:
    """Lists of a project that does not exist."""
    for file_type in FileType:
        yield list_call(cast.platform, UNKNOWN_ID, file_type)


@scenario("foreign_files_are_not_listed", needs=Needs(devices={}, api_keys=("other_org",)))
def lists_of_another_organisation(cast: Cast) -> Workload:
    """Our projects' lists with another organisation's key, and that organisation's own list; then ours again."""
    platform = cast.platform
    for file_type in FileType:
        for project in platform.projects:
            yield list_call(platform, project.id, file_type, key="other_org")
        yield list_call(platform, ORGANISATION, file_type, key="other_org")
        yield list_call(platform, ORGANISATION, file_type)


@scenario("read_only_key_may_list", needs=Needs(devices={}, api_keys=("read_only",)))
def lists_with_a_read_only_key(cast: Cast) -> Workload:
    """The lists of the organisation and of a project with a key that lacks the scope send-commands."""
    for project_id in (ORGANISATION, *(project.id for project in cast.platform.projects[:1])):
        yield list_call(cast.platform, project_id, FileType.FIRMWARE, key="read_only")
