"""Reading credentials from header fields."""

import pytest

from simulators.platform.access import api_key_of, device_token_of


@pytest.mark.requirement("CMD-13")
@pytest.mark.parametrize(
    "fields",
    [
        [], [""], ["Bearer"], ["Bearer "], ["QB_x"], ["Basic QB_x"], ["Bearer QB_x", "Bearer QB_x"], ["Bearer a b"], ["Bearer\tQB_x"],
        ["BearerQB_x"], ["Bearer " + "a" * 513], ["Bearer ü"], [" Bearer QB_x"],
    ],
)  # fmt: skip
def test_anything_but_one_bearer_credential_is_none(fields):
    assert api_key_of(fields) is None


@pytest.mark.parametrize("field", ["Bearer QB_x", "bearer QB_x", "BEARER  QB_x"])
def test_a_bearer_credential_is_read_whatever_the_case_of_its_scheme(field):
    assert api_key_of([field]) == "QB_x"


@pytest.mark.requirement("DLD-14")
def test_a_device_token_is_taken_raw():
    assert device_token_of(["Basic dXNlcjpwYXNz"]) == "dXNlcjpwYXNz"
    assert device_token_of(["Bearer x"]) is None
