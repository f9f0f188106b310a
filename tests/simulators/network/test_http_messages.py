"""Messages are cut alike at every split of the stream."""

import pytest

from simulators.network.framing import PacketFramer
from simulators.network.http_messages import Body, End, Head, MessageReader

REQUESTS = b"POST /a?x=1 HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcGET /b HTTP/1.1\r\nHost: h\r\n\r\n"
ANSWERS = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabcdHTTP/1.1 204 No\r\n\r\n"


def summary(reader: MessageReader, chunks) -> list[str]:
    words: list[str] = []
    for chunk in chunks:
        for piece in reader.feed(chunk):
            match piece:
                case Head():
                    words.append(piece.start_line)
                case Body(data=data, offset=offset):
                    words += [f"{offset + place}{byte:c}" for place, byte in enumerate(data)]
                case End():
                    words.append("end")
    return words


@pytest.mark.parametrize("split", range(len(REQUESTS)))
def test_requests_are_cut_alike_at_every_split(split):
    words = summary(MessageReader(is_response=False), [REQUESTS[:split], REQUESTS[split:]])
    assert words == ["POST /a?x=1 HTTP/1.1", "0a", "1b", "2c", "end", "GET /b HTTP/1.1", "end"]


@pytest.mark.parametrize("split", range(len(ANSWERS)))
def test_answers_are_cut_alike_at_every_split(split):
    words = summary(MessageReader(is_response=True), [ANSWERS[:split], ANSWERS[split:]])
    assert words == ["HTTP/1.1 100 Continue", "end", "HTTP/1.1 200 OK", "0a", "1b", "2c", "3d", "end", "HTTP/1.1 204 No", "end"]


@pytest.mark.parametrize("header", [b"", b"Transfer-Encoding: chunked\r\n"])
def test_a_body_without_a_length_runs_until_the_connection_ends(header):
    words = summary(MessageReader(is_response=True), [b"HTTP/1.1 200 OK\r\n" + header + b"\r\nab", b"c"])
    assert words == ["HTTP/1.1 200 OK", "0a", "1b", "2c"]


def test_digits_of_another_kind_are_no_number():
    words = summary(MessageReader(is_response=True), ["HTTP/1.1 200 OK\r\nContent-Length: ²\r\n\r\nab".encode("latin-1"), b"c"])
    assert words == ["HTTP/1.1 200 OK", "0a", "1b", "2c"]
    assert Head(b"", "HTTP/1.1 ² OK", {}).status == 0


def test_the_answer_to_head_has_no_body():
    reader = MessageReader(is_response=True)
    reader.expects_body = False
    assert summary(reader, [b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"]) == ["HTTP/1.1 200 OK", "end"]


def test_a_head_that_never_ends_is_handed_on():
    pieces = MessageReader(is_response=False).feed(b"x" * 70_000)
    assert pieces == [Body(b"x" * 70_000, 0)]


def test_method_and_path_leave_the_query_out():
    head = MessageReader(is_response=False).feed(REQUESTS)[0]
    assert isinstance(head, Head)
    assert head.method_and_path == ("POST", "/a")


PACKETS = b"\xc0\x00" + b"\x30\x81\x01" + b"x" * 129 + b"\xd0\x00"


@pytest.mark.parametrize("split", range(len(PACKETS)))
def test_packets_are_framed_alike_at_every_split(split):
    framer = PacketFramer()
    frames = framer.feed(PACKETS[:split]) + framer.feed(PACKETS[split:])
    assert [len(frame) for frame in frames] == [2, 132, 2]
    assert b"".join(frames) == PACKETS


def test_a_length_that_cannot_be_is_handed_on_as_it_is():
    framer = PacketFramer()
    assert framer.feed(b"\xc0\x00\x30\xff\xff\xff\xff\x01rest") == [b"\xc0\x00", b"\x30\xff\xff\xff\xff\x01rest"]
    assert framer.feed(b"more") == [b"more"]
