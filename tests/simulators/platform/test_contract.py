"""The platform's own documents: whole, without dangling references, and in agreement with what it serves."""

import json
import re

import pytest
from jsonschema_rs import validator_for

from simulators.platform.contract import asyncapi, command_body_schema, openapi

ROUTES_BESIDE_THE_PROTOCOL = ("/portal", "/docs", "/openapi.json", "/asyncapi.json", "/healthz", "/metrics", "/")


def references(value):
    if isinstance(value, dict):
        yield from (inner for key, inner in value.items() if key == "$ref")
        for inner in value.values():
            yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


@pytest.mark.parametrize("document", [openapi("http://x"), asyncapi("mqtt://x:1")])
def test_every_reference_of_a_document_leads_somewhere(document):
    assert json.loads(json.dumps(document)) == document
    for reference in references(document):
        place = document
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]


def test_every_route_of_the_protocol_is_described_and_nothing_else(on_bench):
    async def scenario(bench):
        described = set(json.loads((await bench.request("GET", "/openapi.json")).body)["paths"])
        app = bench.platform.app
        served = {resource.canonical for resource in app.router.resources()}
        return described, {path for path in served if path.startswith("/v2")}, served

    described, of_the_protocol, served = on_bench(scenario)
    assert described == of_the_protocol
    assert all(path.startswith(ROUTES_BESIDE_THE_PROTOCOL) for path in served - described)


@pytest.mark.parametrize(
    ("body", "is_valid"),
    [
        ({"command": "reboot"}, True),
        ({"command": "blink", "data": {"n": 1}}, True),
        ({"command": "größe"}, True),
        ({"command": "download_firmware", "data": {"file_name": "a.BIN"}}, True),
        ({"command": "download_firmware", "data": {"file_name": "a.png"}}, False),
        ({"command": "download_logo"}, False),
        ({"command": "send_configuration", "data": {"keys": [1]}}, False),
        ({"command": ""}, False),
        ({"command": "a/b"}, False),
        ({"command": "$x"}, False),
        ({"command": "a" * 65}, False),
        ({"command": "reboot", "data": []}, False),
        ({}, False),
        ([], False),
    ],
)
def test_the_schema_of_a_command_takes_what_the_platform_takes(body, is_valid, on_bench):
    async def scenario(bench):
        return (await bench.command(bench.device(), body)).status

    assert validator_for(command_body_schema()).is_valid(body) == is_valid
    assert (on_bench(scenario) != 400) == is_valid


def test_the_contract_can_be_read_as_a_page(on_bench):
    async def scenario(bench):
        return (await bench.request("GET", "/docs")).body.decode()

    page = on_bench(scenario)
    for path in ("/v2/device/download", "{device_id}/control/{command}/result", "main.ErrorResponse"):
        assert path in page
    assert not re.search(r"https?://(?!127\.0\.0\.1)", page)
