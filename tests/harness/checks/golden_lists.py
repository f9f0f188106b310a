"""Golden stories of the file lists."""

FIRMWARE = ("fw.bin", "odd name.BIN")


def lists(*args, **more):
    return lambda story: story.list(*args, **more)


def of_organisation(*names, **more):
    return lambda story: story.list(project="", names=names, **more)


def of_project(role, *names, **more):
    return lambda story: story.list(project=getattr(story, role), names=names, **more)


def entry(**changes):
    made = {"name": "fw.bin", "time": "2023-11-14T22:13:20Z", "size": 100} | changes
    return lists(files=[made])


def lost_after_its_download(story):
    story.offer()
    story.fetch()
    story.list(names=["odd name.BIN"])


def follows(uploaded_names, deleted_names):
    def happens(story):
        facts = {"project_id": story.project, "type": "firmware", "name": "new.bin"}
        story.says("file uploaded", **facts)
        story.list(names=uploaded_names)
        story.says("file deleted", **facts)
        story.list(names=deleted_names)

    return happens


def in_all_lists(after_upload, after_deletion):
    """A file comes and goes; the organisation's list, and the other project's, show these names."""

    def happens(story):
        facts = {"project_id": story.project, "type": "firmware", "name": "new.bin"}
        for what, names in (("file uploaded", after_upload), ("file deleted", after_deletion)):
            story.says(what, **facts)
            story.list(names=[*FIRMWARE, *names])
            story.list(project="", names=[*FIRMWARE, "elsewhere.bin", *names])

    return happens


def uploaded_into_every_project(story):
    story.says("file uploaded", project_id=story.project, type="firmware", name="new.bin")
    story.list(names=[*FIRMWARE, "new.bin"])
    story.list(project=story.other_project, names=["elsewhere.bin", "new.bin"])


def stale_list_of_the_organisation(story):
    story.says("file uploaded", project_id=story.project, type="firmware", name="new.bin")
    story.list(names=[*FIRMWARE, "new.bin"])
    story.list(project="", names=[*FIRMWARE, "elsewhere.bin"])


def uploaded_and_never_listed(story):
    story.says("file uploaded", project_id=story.project, type="firmware", name="new.bin")


def commanded(status, name="fw.bin", **more):
    def happens(story):
        story.list(names=FIRMWARE)
        story.command("download_firmware", {"file_name": name}, status, **more)

    return happens


def commanded_with_a_list_of_names(story):
    story.list(names=FIRMWARE)
    story.command("download_firmware", ["fw.bin"], 400)


def entries(*times, name="fw.bin", size=100):
    return [{"name": name, "time": time, "size": size} for time in times]


def listed_twice(first, second, *, uploaded="another.bin"):
    """A project's list with these times of one file, and once more with those."""

    def happens(story):
        story.list(files=entries(*first))
        story.says("file uploaded", project_id=story.project, type="logo", name=uploaded)
        story.list(files=entries(*second))

    return happens


def uploaded_and_dated(time, *, has_test_clock=False):
    def happens(story):
        if has_test_clock:
            story.target["clock"] = {"advance_url": "https://…"}
        story.says("file uploaded", project_id=story.project, type="firmware", name="new.bin")
        story.list(files=entries(time, name="new.bin"))

    return happens


def listed_and_deleted(story):
    story.list(names=FIRMWARE)
    story.says("file deleted", project_id=story.project, type="firmware", name="fw.bin")
    story.command("download_firmware", {"file_name": "fw.bin"}, 404)


def listed_with_size(size):
    def happens(story):
        story.offer()
        story.fetch()
        story.list(files=[{"name": "fw.bin", "time": "2023-11-14T22:13:20Z", "size": size}])

    return happens


def many_files(listed, **more):
    """More files than a page holds are stored, and a list names these of them."""

    def happens(story):
        names = [f"many-{number}.bin" for number in range(9)]
        story.says("many files stored", project_id=story.project, type="firmware", names=names)
        story.list(names=[*FIRMWARE, *names[:listed]], **more)

    return happens


def many_files_of_the_other_type(story):
    story.says("many files stored", project_id=story.project, type="logo", names=["many.png"])
    story.list(names=FIRMWARE)


def of_organisation_with_size(*sizes):
    """A file is fetched, and the organisation lists so many of its name."""

    def happens(story):
        story.offer()
        story.fetch()
        story.list(project="", files=[file for size in sizes for file in entries("2023-11-14T22:13:20Z", size=size)])

    return happens


def read_only(names, names_for_the_full_key):
    def happens(story):
        story.list(names=names, credential="api-key:read_only")
        story.list(names=names_for_the_full_key)

    return happens


def both_organisations(ours, theirs, *, by_project=()):
    def happens(story):
        if by_project:
            story.list(names=by_project)
        story.list(project="", names=ours)
        story.list(project="", names=theirs, credential="api-key:other_org")

    return happens


def other_organisation_sees_ours_while_files_come_and_go(story):
    story.list(project="", names=[*FIRMWARE, "for-a-moment.bin"])
    both_organisations(FIRMWARE, FIRMWARE)(story)


GOLDEN = [
    ("list_names_the_stored_files", "pass", lists(names=(*FIRMWARE, "more.bin"))),
    ("list_names_the_stored_files", "fail", lists(names=["fw.bin"])),
    ("list_names_the_stored_files", "fail", lists(names=(*FIRMWARE, "fw.bin"))),
    ("list_names_the_stored_files", "fail", lists(status=500)),
    ("list_names_the_stored_files", "fail", lists(status=None, closed_by="peer")),
    ("list_names_the_stored_files", "fail", lists(names=(*FIRMWARE, "elsewhere.bin"))),
    ("list_names_the_stored_files", "fail", lists(answer="{}")),
    ("list_names_the_stored_files", "fail", lists("logo", names=["logo.png", "fw.bin"])),
    ("organisation_list_names_the_files_of_all_projects", "fail", of_organisation("logo.png", "fw.bin", file_type="logo")),
    ("list_names_the_stored_files", "pass", lost_after_its_download),
    ("list_names_the_stored_files", "inconclusive", of_project("nobody")),
    ("organisation_list_names_the_files_of_all_projects", "pass", of_organisation(*FIRMWARE, "elsewhere.bin")),
    ("organisation_list_names_the_files_of_all_projects", "fail", of_organisation(*FIRMWARE)),
    ("organisation_list_names_the_files_of_all_projects", "fail", of_organisation(status=404)),
    ("list_names_the_stored_files", "inconclusive", of_organisation()),
    ("organisation_list_names_the_files_of_all_projects", "inconclusive", lists()),
    ("entries_describe_the_file", "pass", entry(description="the first", time="2023-11-14T22:13:20.5+00:00")),
    ("entries_describe_the_file", "pass", entry(description="")),
    ("entries_describe_the_file", "pass", entry(time="2016-12-31 23:59:60Z")),
    ("entries_describe_the_file", "fail", entry(description=None)),
    ("entries_describe_the_file", "fail", entry(time="2023-13-14T22:13:20Z")),
    ("entries_describe_the_file", "fail", entry(time="2023-11-14T25:13:20Z")),
    ("entries_describe_the_file", "fail", entry(time="2023-11-14T22:13:77Z")),
    ("entries_describe_the_file", "fail", entry(name=5)),
    ("entries_describe_the_file", "fail", entry(time="2023-11-14T22:13:20")),
    ("entries_describe_the_file", "fail", entry(time=1_700_000_000)),
    ("entries_describe_the_file", "fail", entry(size="100")),
    ("entries_describe_the_file", "fail", entry(size=True)),
    ("entries_describe_the_file", "fail", entry(description=5)),
    ("entries_describe_the_file", "fail", lists(files=["fw.bin"])),
    ("entries_describe_the_file", "pass", listed_twice(["2023-11-14T22:13:20Z"], ["2023-11-14T22:13:20Z"])),
    ("entries_describe_the_file", "fail", listed_twice(["2023-11-14T22:13:20Z"], ["2023-11-14T22:13:21Z"])),
    ("entries_describe_the_file", "pass", listed_twice(["2023-11-14T22:13:20Z"], ["2023-11-14T22:13:21Z"], uploaded="fw.bin")),
    ("entries_describe_the_file", "pass", listed_twice(["2023-01-01T01:00:00Z", "2023-02-02T02:00:00Z"], ["2023-02-02T02:00:00Z"])),
    ("entries_describe_the_file", "pass", uploaded_and_dated("2023-11-14T22:13:20Z")),
    ("entries_describe_the_file", "fail", uploaded_and_dated("2023-11-15T01:13:20Z")),
    ("entries_describe_the_file", "fail", uploaded_and_dated("1970-01-01T00:00:00Z")),
    ("entries_describe_the_file", "pass", uploaded_and_dated("2023-11-15T01:13:20Z", has_test_clock=True)),
    ("entries_describe_the_file", "fail", uploaded_and_dated(1_700_000_000)),
    ("entries_are_of_the_type_and_size", "pass", of_organisation_with_size(100)),
    ("entries_are_of_the_type_and_size", "warning", of_organisation_with_size(1)),
    ("entries_are_of_the_type_and_size", "pass", of_organisation_with_size(100, 50)),
    ("read_only_key_may_list", "pass", read_only(FIRMWARE, [])),
    ("read_only_key_may_list", "deviation", read_only([], FIRMWARE)),
    ("list_without_valid_type_is_refused", "pass", lists(status=400, query="")),
    ("list_without_valid_type_is_refused", "fail", lists(status=200, query="")),
    ("list_without_valid_type_is_refused", "fail", lists("Firmware", status=200)),
    ("list_without_valid_type_is_refused", "fail", lists("image", status=None, closed_by="peer")),
    ("list_without_valid_type_is_refused", "inconclusive", lists(query="?type=firmware&type=logo")),
    ("list_without_valid_type_is_refused", "inconclusive", lists(query="?type=x", status=404, credential="api-key:other_org")),
    ("list_without_valid_key_is_unauthorized", "pass", lists(status=401, credential="none")),
    ("list_without_valid_key_is_unauthorized", "fail", lists(status=200, credential="unknown")),
    ("list_without_valid_key_is_unauthorized", "inconclusive", lists(status=None, credential="none")),
    ("list_follows_uploads_and_deletions", "pass", follows([*FIRMWARE, "new.bin"], FIRMWARE)),
    ("list_follows_uploads_and_deletions", "warning", follows(FIRMWARE, FIRMWARE)),
    ("list_follows_uploads_and_deletions", "warning", follows([*FIRMWARE, "new.bin"], [*FIRMWARE, "new.bin"])),
    ("list_follows_uploads_and_deletions", "pass", in_all_lists(["new.bin"], [])),
    ("list_follows_uploads_and_deletions", "warning", stale_list_of_the_organisation),
    ("list_names_the_stored_files", "pass", many_files(9)),
    ("list_names_the_stored_files", "fail", many_files(8)),
    ("list_names_the_stored_files", "fail", many_files(0)),
    ("list_names_the_stored_files", "pass", many_files_of_the_other_type),
    ("organisation_list_names_the_files_of_all_projects", "fail", many_files(8, project="")),
    ("list_names_the_stored_files", "pass", in_all_lists(["new.bin"], [])),
    ("list_names_the_stored_files", "fail", uploaded_into_every_project),
    ("list_follows_uploads_and_deletions", "inconclusive", uploaded_and_never_listed),
    ("list_body_is_an_object_with_files", "pass", lists()),
    ("list_body_is_an_object_with_files", "deviation", lists(answer={"files": None})),
    ("list_body_is_an_object_with_files", "fail", lists(answer={"data": []})),
    ("list_body_is_an_object_with_files", "fail", lists(answer="[]")),
    ("list_body_is_an_object_with_files", "inconclusive", lists(status=500)),
    ("listed_name_can_be_commanded", "pass", commanded(200)),
    ("listed_name_can_be_commanded", "fail", commanded(404)),
    ("listed_name_can_be_commanded", "inconclusive", commanded(404, "not-listed.bin")),
    ("listed_name_can_be_commanded", "inconclusive", listed_and_deleted),
    ("listed_name_can_be_commanded", "inconclusive", commanded(404, credential="api-key:other_org")),
    ("listed_name_can_be_commanded", "inconclusive", commanded_with_a_list_of_names),
    ("entries_are_of_the_type_and_size", "pass", listed_with_size(100)),
    ("entries_are_of_the_type_and_size", "warning", listed_with_size(101)),
    ("entries_are_of_the_type_and_size", "warning", lists(names=["logo.png"])),
    ("foreign_files_are_not_listed", "pass", of_project("nobody", status=404)),
    ("foreign_files_are_not_listed", "pass", of_project("project", credential="api-key:other_org")),
    ("foreign_files_are_not_listed", "deviation", of_project("nobody", status=403)),
    ("foreign_files_are_not_listed", "warning", of_project("nobody", "fw.bin")),
    ("foreign_files_are_not_listed", "warning", of_project("project", "fw.bin", credential="api-key:other_org")),
    ("foreign_files_are_not_listed", "pass", both_organisations(FIRMWARE, ["theirs.bin", "fw.bin"])),
    ("foreign_files_are_not_listed", "warning", both_organisations(FIRMWARE, [*FIRMWARE, "theirs.bin"])),
    ("foreign_files_are_not_listed", "warning", both_organisations([*FIRMWARE, "theirs.bin"], ["theirs.bin"], by_project=FIRMWARE)),
    ("foreign_files_are_not_listed", "warning", other_organisation_sees_ours_while_files_come_and_go),
    ("foreign_files_are_not_listed", "inconclusive", lists(names=FIRMWARE)),
    ("read_only_key_may_list", "pass", lists(names=FIRMWARE, credential="api-key:read_only")),
    ("read_only_key_may_list", "deviation", lists(status=403, credential="api-key:read_only")),
]
