"""No secret reaches the timeline, in whatever form it travels; what checks may know of it does."""

import base64
import string
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.clock import ManualClock
from harness.history.events import HttpEnded, HttpRequest, RunEnded, RunStarted, SecretSeen, Stimulus, text_of
from harness.history.journal import line_of
from harness.history.recorder import Recorder
from harness.history.redaction import Redactor, facts_of

SECRET = "s3cret+tok/en=Ünïx"
SECRETS = st.text(alphabet=string.ascii_letters + string.digits + "+/=_-.~%:ü", min_size=12, max_size=44)
URL = "https://h/v2/device/download?key="


def redactor(*secrets):
    made = Redactor(lambda seen: None)
    for number, secret in enumerate(secrets):
        made.register(secret, label=f"<token:{number}>", what="token")
    return made


def basic(text):
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    "written",
    [
        SECRET,
        quote(SECRET, safe=""),
        quote(SECRET, safe="").lower(),
        basic(SECRET),
        basic(SECRET).rstrip("="),
        basic(":" + SECRET),
        basic(SECRET + ":"),
        basic("user:" + SECRET),
        basic("someone:" + SECRET),
        base64.urlsafe_b64encode(SECRET.encode()).decode(),
    ],
)
def test_a_secret_is_found_in_every_form_in_which_it_travels(written):
    cleaned = redactor(SECRET).text_without_secrets(f"Basic {written}!")
    assert "<token:0>" in cleaned
    assert written not in cleaned


def test_text_around_a_secret_stays():
    assert redactor(SECRET).text_without_secrets(f"a {SECRET} b") == "a <token:0> b"


def test_a_secret_that_holds_another_gets_its_own_label():
    made = redactor("abcdefgh", "abcdefghij")
    assert made.text_without_secrets("abcdefghij abcdefgh") == "<token:1> <token:0>"


def test_a_text_without_secrets_stays_as_it_is():
    assert Redactor(lambda seen: None).text_without_secrets("nothing ☀") == "nothing ☀"


def test_a_very_short_secret_is_not_looked_for():
    assert redactor("ab").text_without_secrets("cabin") == "cabin"


def test_an_empty_secret_is_none():
    made = redactor("")
    assert made.text_without_secrets("a") == "a"


def test_the_same_secret_keeps_its_first_label():
    made = redactor(SECRET)
    assert made.register(SECRET, label="<token:again>", what="token") == "<token:0>"


def test_keys_in_urls_are_found_and_numbered_in_order_of_appearance():
    made = Redactor(lambda seen: None)
    text = f'{{"url":"{URL}first-key-of-all&x=1"}} {URL}second-key'
    assert made.text_without_secrets(text) == f'{{"url":"{URL}<key:1>&x=1"}} {URL}<key:2>'


def test_a_key_is_known_again_outside_of_its_url():
    made = Redactor(lambda seen: None)
    made.text_without_secrets(URL + "first-key-of-all")
    assert made.text_without_secrets("key first-key-of-all is used") == "key <key:1> is used"


def test_a_percent_encoded_key_is_known_decoded_too():
    made = Redactor(lambda seen: None)
    assert made.text_without_secrets(URL + "a%2Bb%2fcdef") == URL + "<key:1>"
    assert made.text_without_secrets("a+b/cdef, a%2Bb%2fcdef, a%2Bb%2Fcdef") == "<key:1>, <key:1>, <key:1>"


def test_a_key_that_was_escaped_by_json_ends_at_the_escape():
    made = Redactor(lambda seen: None)
    assert made.text_without_secrets(URL + r"first-key-of-all\u0026x=1") == URL + r"<key:1>\u0026x=1"


def test_what_is_known_of_a_secret_is_told_once():
    told = []
    made = Redactor(told.append)
    for _ in range(2):
        made.text_without_secrets(URL + "abcdefghijkl")
    assert told == [SecretSeen("<key:1>", "download key", 12, "base64url", 72.0)]


@pytest.mark.parametrize(
    ("secret", "alphabet", "bits"),
    [
        ("A" * 22, "base64url", 88.0),
        ("z" * 22, "base64url", 132.0),
        ("0f" * 16, "base64url", 128.0),
        ("0F" * 16, "base64url", 128.0),
        ("00000000-0000-4000-8000-000000000000", "base64url", 128.0),
        ("12345678", "base64url", 32.0),
        ("a.b", "other", 18.0),
    ],
)
def test_the_bits_of_a_secret_are_those_of_its_alphabet(secret, alphabet, bits):
    facts = facts_of(secret, label="<key:1>", what="download key")
    assert (facts.length, facts.alphabet, facts.bits_max) == (len(secret), alphabet, bits)


FORMS = st.sampled_from(
    [
        lambda s: s,
        lambda s: quote(s, safe=""),
        basic,
        lambda s: basic("dev-1:" + s),
        lambda s: basic("a:" + s),
        lambda s: text_of(b"\xff" + s.encode()),
    ]
)


@given(
    secrets=st.lists(SECRETS, min_size=1, max_size=4, unique=True),
    forms=st.lists(FORMS, min_size=4, max_size=4),
    around=st.text(max_size=10),
)
def test_no_registered_secret_survives_in_any_line(secrets, forms, around):
    recorder = Recorder(ManualClock())
    for number, secret in enumerate(secrets):
        recorder.redactor.register(secret, label=f"<token:{number}>", what="token")
    for secret, form in zip(secrets, forms, strict=False):
        text = form(secret)
        recorder.record(HttpRequest(1, "other", "GET", around + text, "none", (("Authorization", f"Basic {text}"),), text + around))
        recorder.record(HttpEnded(1, 5, True, body=text))
        recorder.record(Stimulus("x", {text: [text, {"deep": (text,)}]}))
    lines = "\n".join(line_of(event) for event in recorder.history().events)
    written = [each for secret in secrets for each in (secret, quote(secret, safe=""), basic(secret))]
    assert [secret for secret in written if secret in lines and secret not in around] == []


def test_the_first_event_stands_first_though_its_secrets_are_known_before():
    recorder = Recorder(ManualClock())
    recorder.redactor.register("QB_key_of_all", label="<api-key:full>", what="api key")
    start = RunStarted("hil-history/1", "r", "0", "c", 1, "quick", "platform", "p", "should", {"key": "QB_key_of_all"}, {}, ())
    recorder.record(start)
    recorder.record(RunEnded())
    facts = [event.fact for event in recorder.history().events]
    assert [type(fact) for fact in facts] == [RunStarted, SecretSeen, RunEnded]
    assert facts[0].target == {"key": "<api-key:full>"}


def test_the_base64_form_of_a_single_character_hides_no_part_of_an_id():
    made = redactor()
    device_id = "caa75b7e-f2fc-4930-be77-955fa4005639"
    made.text_without_secrets(f"{URL}%FF")
    assert base64.urlsafe_b64encode("\N{REPLACEMENT CHARACTER}".encode()).decode() in device_id
    assert made.text_without_secrets(device_id) == device_id


def test_half_of_a_secret_is_hidden_too():
    made = redactor("abcdefghijklmnopqrstuvwx")
    assert made.text_without_secrets("Basic abcdefghijklmnopqrstuvw!") == "Basic <token:0-cut>!"


def test_a_few_first_letters_of_a_secret_are_no_secret():
    assert redactor("abcdefghijklmnopqrstuvwx").text_without_secrets("abcdefgh") == "abcdefgh"


def test_a_secret_in_the_other_case_is_hidden_too():
    assert redactor("abcDEFghiJKLmnop").text_without_secrets("ABCdefGHIjklMNOP") == "<token:0-case-changed>"
