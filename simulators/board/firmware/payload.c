/* JSON as the platform sends it: with blanks, of any shape, or none at all. Checked against RFC 8259 and copied without its blanks. */
#include "board.h"

#define DEPTH_MAX 24

struct copy {
    const char *at, *end;
    char *out, *out_end;
};

static int take(struct copy *copy) { /* copies one character */
    if (copy->at >= copy->end || copy->out >= copy->out_end)
        return 0;
    *copy->out++ = *copy->at++;
    return 1;
}

static int see(const struct copy *copy) { return copy->at < copy->end ? (uint8_t)*copy->at : -1; }

static void skip_blanks(struct copy *copy) {
    while (see(copy) == ' ' || see(copy) == '\t' || see(copy) == '\n' || see(copy) == '\r')
        copy->at++;
}

static int is_digit(int c) { return c >= '0' && c <= '9'; }
static int is_hex(int c) { return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }

static int word(struct copy *copy, const char *text) {
    for (; *text; text++)
        if (see(copy) != *text || !take(copy))
            return 0;
    return 1;
}

static int digits(struct copy *copy) {
    int count = 0;
    while (is_digit(see(copy)) && take(copy))
        count++;
    return count;
}

static int number(struct copy *copy) {
    if (see(copy) == '-' && !take(copy))
        return 0;
    int starts_with_zero = see(copy) == '0', count = digits(copy);
    if (!count || (starts_with_zero && count > 1))
        return 0;
    if (see(copy) == '.' && (!take(copy) || !digits(copy)))
        return 0;
    if (see(copy) != 'e' && see(copy) != 'E')
        return 1;
    if (!take(copy) || ((see(copy) == '+' || see(copy) == '-') && !take(copy)))
        return 0;
    return digits(copy) > 0;
}

/* One character of UTF-8 beyond ASCII (RFC 3629): shortest form, no surrogates, at most U+10FFFF. */
static int wide(struct copy *copy) {
    int first = see(copy), more = first >= 0xF0 ? 3 : first >= 0xE0 ? 2 : 1;
    int low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80, high = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
    if (first < 0xC2 || first > 0xF4 || !take(copy))
        return 0;
    for (; more--; low = 0x80, high = 0xBF)
        if (see(copy) < low || see(copy) > high || !take(copy))
            return 0;
    return 1;
}

static int escape(struct copy *copy) {
    int kind;
    if (!take(copy))
        return 0;
    kind = see(copy);
    if (kind == 'u') {
        if (!take(copy))
            return 0;
        for (int i = 0; i < 4; i++)
            if (!is_hex(see(copy)) || !take(copy))
                return 0;
        return 1;
    }
    for (const char *plain = "\"\\/bfnrt"; *plain; plain++)
        if (kind == *plain)
            return take(copy);
    return 0;
}

static int string(struct copy *copy) {
    if (see(copy) != '"' || !take(copy))
        return 0;
    while (see(copy) != '"') {
        int c = see(copy);
        if (c < 0x20)
            return 0;
        if (!(c == '\\' ? escape(copy) : c < 0x80 ? take(copy) : wide(copy)))
            return 0;
    }
    return take(copy);
}

static int value(struct copy *copy, int depth);

static int members(struct copy *copy, int depth, char last) {
    if (!take(copy))
        return 0;
    skip_blanks(copy);
    if (see(copy) == last)
        return take(copy);
    for (;;) {
        skip_blanks(copy);
        if (last == '}') {
            if (!string(copy))
                return 0;
            skip_blanks(copy);
            if (see(copy) != ':' || !take(copy))
                return 0;
        }
        if (!value(copy, depth))
            return 0;
        if (see(copy) == last)
            return take(copy);
        if (see(copy) != ',' || !take(copy))
            return 0;
    }
}

static int value(struct copy *copy, int depth) {
    int is_good;
    skip_blanks(copy);
    switch (see(copy)) {
    case '{': is_good = depth < DEPTH_MAX && members(copy, depth + 1, '}'); break;
    case '[': is_good = depth < DEPTH_MAX && members(copy, depth + 1, ']'); break;
    case '"': is_good = string(copy); break;
    case 't': is_good = word(copy, "true"); break;
    case 'f': is_good = word(copy, "false"); break;
    case 'n': is_good = word(copy, "null"); break;
    default: is_good = number(copy);
    }
    skip_blanks(copy);
    return is_good;
}

int32_t json_compact(const char *in, size_t size, char *out, size_t room) {
    struct copy copy = {in, in + size, out, out + room};
    return value(&copy, 0) && copy.at == copy.end ? (int32_t)(copy.out - out) : -1;
}
