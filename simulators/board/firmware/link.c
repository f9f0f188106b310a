/* Board link, version 1: the board's end. See link.h and LINK.md. */
#include "link.h"

enum { TEXT, FRAME, SKIP };

/* ---- frames out ---- */

uint16_t link_crc16(uint16_t crc, const char *data, size_t size) {
    while (size--) {
        crc ^= (uint16_t)((uint8_t)*data++ << 8);
        for (int bit = 0; bit < 8; bit++)
            crc = (uint16_t)(crc & 0x8000 ? crc << 1 ^ 0x1021 : crc << 1);
    }
    return crc;
}

static size_t length_of(const char *text) {
    size_t size = 0;
    while (text[size])
        size++;
    return size;
}

static int is_same(const char *left, const char *right, size_t size) {
    while (size--)
        if (*left++ != *right++)
            return 0;
    return 1;
}

static void put_char(struct json_out *out, char c) {
    if (out->at < out->end)
        *out->at++ = c;
    else
        out->is_full = 1;
}

static void put_raw(struct json_out *out, const char *text) {
    while (*text)
        put_char(out, *text++);
}

static void put_hex4(struct json_out *out, unsigned value) {
    for (int shift = 12; shift >= 0; shift -= 4)
        put_char(out, "0123456789abcdef"[value >> shift & 15]);
}

static void put_decimal(struct json_out *out, uint32_t value) {
    char digits[10];
    int count = 0;
    do
        digits[count++] = (char)('0' + value % 10);
    while (value /= 10);
    while (count)
        put_char(out, digits[--count]);
}

/* One frame from two pieces of body: the first is short and built here, the second may be long and stays where it is. */
static void write_frame(struct link *link, const char *head, size_t head_size, const char *tail, size_t tail_size) {
    char header[9];
    struct json_out out = {header, header + sizeof header, 0, 0};
    put_char(&out, '~');
    put_hex4(&out, (unsigned)(head_size + tail_size));
    put_hex4(&out, link_crc16(link_crc16(0xFFFF, head, head_size), tail, tail_size));
    link->write(link->context, header, sizeof header);
    link->write(link->context, head, head_size);
    link->write(link->context, tail, tail_size);
    link->write(link->context, "\n", 1);
}

static void answer(struct link *link, const char *kind, uint16_t connection, int32_t sequence) {
    char room[48];
    struct json_out out = {room, room + sizeof room, 0, 0};
    put_raw(&out, "{");
    json_put_text(&out, "k", kind, length_of(kind));
    json_put_number(&out, "c", connection);
    if (sequence >= 0)
        json_put_number(&out, "s", (uint32_t)sequence);
    write_frame(link, room, (size_t)(out.at - room), "}", 1);
}

/* boot, opened and refused: what this board is. */
static void introduce(struct link *link, const char *kind, uint16_t connection) {
    char room[640];
    struct json_out out = {room, room + sizeof room, 0, 0};
    put_raw(&out, "{");
    json_put_text(&out, "k", kind, length_of(kind));
    json_put_number(&out, "v", LINK_VERSION);
    if (kind[0] != 'b')
        json_put_number(&out, "c", connection);
    if (kind[0] != 'r') {
        json_put_number(&out, "max", (uint32_t)(link->in_size - LINK_FRAME_EXTRA));
        json_put_number(&out, "done", link->done(link->context));
        put_raw(&out, ",\"about\":");
        put_raw(&out, link->about);
    }
    if (!out.is_full)
        write_frame(link, room, (size_t)(out.at - room), "}", 1);
}

static void transmit(struct link *link) {
    char room[48];
    struct json_out out = {room, room + sizeof room, 0, 0};
    put_raw(&out, "{\"k\":\"d\",\"c\":");
    put_decimal(&out, link->connection);
    put_raw(&out, ",\"s\":");
    put_decimal(&out, link->out_sequence);
    put_raw(&out, ",\"m\":");
    link->out[link->out_used] = '}'; /* link_post left room for it */
    write_frame(link, room, (size_t)(out.at - room), link->out, link->out_used + 1);
}

/* ---- frames in ---- */

static void open_connection(struct link *link, const char *body, size_t size, uint16_t connection) {
    uint32_t version;
    if (!json_number(json_member(body, size, "v"), &version) || version != LINK_VERSION) {
        introduce(link, "refused", connection);
        return;
    }
    if (!link->is_open || connection != link->connection) { /* a repeated open must not make the numbers start again */
        link->is_open = 1;
        link->connection = connection;
        link->in_sequence = 0;
        link->out_sequence = 1;
        link->is_sent = 0;
    }
    introduce(link, "opened", connection);
}

static void take(struct link *link, const char *body, size_t size, uint16_t connection) {
    uint32_t sequence;
    struct json message = json_member(body, size, "m");
    int is_number = json_number(json_member(body, size, "s"), &sequence) && sequence <= 0xFFFF;
    if (!link->is_open || connection != link->connection)
        answer(link, "lost", connection, -1);
    else if (is_number && sequence == link->in_sequence)
        answer(link, "a", connection, (int32_t)sequence);
    else if (!is_number || sequence != (uint16_t)(link->in_sequence + 1) || !message.size || message.at[0] != '{')
        answer(link, "lost", connection, -1);
    else if (!link->accept(link->context, message.at, message.size))
        answer(link, "b", connection, (int32_t)sequence);
    else {
        link->in_sequence = (uint16_t)sequence;
        answer(link, "a", connection, (int32_t)sequence);
    }
}

static void judge(struct link *link, const char *body, size_t size) {
    uint32_t connection, sequence;
    struct json kind = json_member(body, size, "k");
    if (!json_number(json_member(body, size, "c"), &connection) || connection > 0xFFFF)
        return;
    if (json_is(kind, "open"))
        open_connection(link, body, size, (uint16_t)connection);
    else if (json_is(kind, "d"))
        take(link, body, size, (uint16_t)connection);
    else if (json_is(kind, "a") && link->is_open && connection == link->connection && link->is_sent
             && json_number(json_member(body, size, "s"), &sequence) && sequence == link->out_sequence) {
        link->out_used = 0;
        link->is_sent = 0;
        link->out_sequence++;
    }
}

/* Frame headers are lower-case; JSON's escapes may have capitals. Negative: no four digits. */
static int hex4(const char *at, int takes_capitals) {
    int value = 0;
    for (int i = 0; i < 4; i++) {
        char c = takes_capitals && at[i] >= 'A' && at[i] <= 'F' ? (char)(at[i] - 'A' + 'a') : at[i];
        int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
        if (digit < 0)
            return -1;
        value = value << 4 | digit;
    }
    return value;
}

static void end_of_line(struct link *link) {
    size_t used = link->in_used;
    const char *line = link->in;
    if (used && line[used - 1] == '\r')
        used--;
    if (used >= 8 && hex4(line, 0) == (int)(used - 8) && hex4(line + 4, 0) == link_crc16(0xFFFF, line + 8, used - 8))
        judge(link, line + 8, used - 8);
}

void link_input(struct link *link, const char *data, size_t size) {
    for (; size--; data++) {
        if (*data == '~') {
            link->state = FRAME;
            link->in_used = 0;
        } else if (*data == '\n') {
            if (link->state == FRAME)
                end_of_line(link);
            link->state = TEXT;
        } else if (link->state == FRAME && link->in_used == link->in_size) {
            link->state = SKIP;
        } else if (link->state == FRAME) {
            link->in[link->in_used++] = *data;
        }
    }
}

void link_boot(struct link *link) {
    link->in_used = link->out_used = 0;
    link->is_open = link->is_sent = 0;
    link->out_sequence = 1;
    link->state = TEXT;
    introduce(link, "boot", 0);
}

void link_tick(struct link *link, uint32_t now_ms) {
    if (!link->is_open || !link->out_used || (link->is_sent && (int32_t)(now_ms - link->next_try_ms) < 0))
        return;
    transmit(link);
    link->is_sent = 1;
    link->next_try_ms = now_ms + LINK_RETRY_MS + (uint32_t)link->out_used / LINK_BYTES_PER_MS;
}

/* ---- messages out ---- */

int link_is_idle(const struct link *link) { return !link->out_used; }

struct json_out link_message(struct link *link) {
    struct json_out out = {link->out, link->out + link->out_size - 2, 0, 0}; /* the message's brace and the frame's */
    put_char(&out, '{');
    return out;
}

int link_post(struct link *link, struct json_out *message) {
    if (message->is_full)
        return 0;
    *message->at++ = '}';
    link->out_used = (size_t)(message->at - link->out);
    return 1;
}

static void put_key(struct json_out *out, const char *key) {
    put_raw(out, out->needs_comma ? ",\"" : "\"");
    put_raw(out, key);
    put_raw(out, "\":");
    out->needs_comma = 1;
}

void json_put_text(struct json_out *out, const char *key, const char *text, size_t size) {
    put_key(out, key);
    put_char(out, '"');
    for (; size--; text++) {
        if (*text == '"' || *text == '\\') {
            put_char(out, '\\');
            put_char(out, *text);
        } else if ((uint8_t)*text < 0x20 || *text == '~' || *text == 0x7F) {
            put_raw(out, "\\u");
            put_hex4(out, (uint8_t)*text);
        } else {
            put_char(out, *text);
        }
    }
    put_char(out, '"');
}

void json_put_number(struct json_out *out, const char *key, uint32_t value) {
    put_key(out, key);
    put_decimal(out, value);
}

void json_put_json(struct json_out *out, const char *key, const char *text, size_t size) {
    put_key(out, key);
    while (size--)
        put_char(out, *text++);
}

/* ---- messages in ---- */

/* The end of the value that starts at `at`; strings are skipped whole, braces and brackets counted. */
static const char *end_of_value(const char *at, const char *end) {
    int depth = 0;
    while (at < end) {
        if (*at == '"') {
            for (at++; at < end && *at != '"'; at++)
                if (*at == '\\')
                    at++;
        } else if (*at == '{' || *at == '[') {
            depth++;
        } else if (*at == '}' || *at == ']') {
            if (!depth--)
                return at;
        } else if (*at == ',' && !depth) {
            return at;
        }
        at++;
    }
    return end;
}

struct json json_member(const char *object, size_t size, const char *key) {
    const char *at = object + 1, *end = object + size;
    size_t key_size = length_of(key);
    while (size > 1 && at < end && *at == '"') {
        const char *name = at + 1, *colon = name;
        while (colon < end && *colon != '"')
            colon += *colon == '\\' ? 2 : 1;
        const char *value = colon + 2, *stop = value < end ? end_of_value(value, end) : end;
        if ((size_t)(colon - name) == key_size && value < end && is_same(name, key, key_size))
            return (struct json){value, (size_t)(stop - value)};
        at = stop + 1; /* behind the comma */
    }
    return (struct json){object, 0};
}

int json_is(struct json value, const char *text) {
    size_t size = length_of(text);
    return value.size == size + 2 && value.at[0] == '"' && is_same(value.at + 1, text, size);
}

int json_number(struct json value, uint32_t *number) {
    *number = 0;
    for (size_t i = 0; i < value.size; i++) {
        uint32_t digit = (uint32_t)(value.at[i] - '0'); /* what stands before '0' becomes huge */
        if (digit > 9 || *number > (UINT32_MAX - digit) / 10)
            return 0;
        *number = *number * 10 + digit;
    }
    return value.size > 0;
}

static char *put_utf8(char *out, uint32_t code) {
    int more = code < 0x80 ? 0 : code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    *out++ = (char)(more ? (0xFF00u >> (more + 1) & 0xFF) | code >> 6 * more : code);
    while (more--)
        *out++ = (char)(0x80 | (code >> 6 * more & 63));
    return out;
}

/* The code point of \uXXXX at `at` (behind the u), of two of them for one beyond the BMP; negative: neither. */
static int32_t escaped_code(const char **at, const char *end) {
    int32_t code = end - *at >= 4 ? hex4(*at, 1) : -1;
    *at += 4;
    if (code < 0xD800 || code > 0xDFFF)
        return code;
    int32_t low = code < 0xDC00 && end - *at >= 6 && (*at)[0] == '\\' && (*at)[1] == 'u' ? hex4(*at + 2, 1) : -1;
    *at += 6;
    return low < 0xDC00 || low > 0xDFFF ? -1 : 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
}

int32_t json_text(struct json value, char *out, size_t room) {
    const char *at = value.at + 1, *end = value.at + value.size - 1, *start = out;
    if (value.size < 2 || value.at[0] != '"')
        return -1;
    while (at < end) {
        if ((size_t)(out - start) + 5 > room) /* the longest code point and the 0 */
            return -1;
        if (*at != '\\') {
            *out++ = *at++;
            continue;
        }
        const char *plain = "\"\"\\\\//b\bf\fn\nr\rt\t";
        int32_t code = -1;
        for (at++; *plain && code < 0; plain += 2)
            if (*plain == *at)
                code = plain[1];
        if (*at++ == 'u')
            code = escaped_code(&at, end);
        if (code < 0 || at > end)
            return -1;
        out = put_utf8(out, (uint32_t)code);
    }
    if (!room)
        return -1;
    *out = 0;
    return (int32_t)(out - start);
}

static int sextet(char c) {
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

int32_t json_base64(struct json value, uint8_t *out, size_t room) {
    uint32_t bits = 0;
    size_t used = 0;
    int count = 0;
    if (value.size < 2 || value.at[0] != '"')
        return -1;
    for (const char *at = value.at + 1; at < value.at + value.size - 1 && *at != '='; at++) {
        if (sextet(*at) < 0 || (count >= 2 && used == room))
            return -1;
        bits = bits << 6 | (uint32_t)sextet(*at);
        for (count += 6; count >= 8; out[used++] = (uint8_t)(bits >> count))
            count -= 8;
    }
    return (int32_t)used;
}
