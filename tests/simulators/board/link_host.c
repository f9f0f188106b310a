/* Runs the C link in a process of its own (with the sanitizers), so that a test can compare it with the Python one.
 * One request a line, one answer a line. B boot, I<hex> input, T<ms> tick, P<hex> post a message {"y":"<text>"}, R<n> room for n
 * messages, J<hex> a JSON value as text, as base64 and as a number. An answer: what was written, what was accepted, whether it is idle. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "link.h"

static char written[65536], accepted[65536], line[65536], raw[32768];
static size_t written_size, accepted_size;
static unsigned room, done;
static char in[256 + LINK_FRAME_EXTRA], out[128];
static struct link board;

static void keep(void *context, const char *data, size_t size) {
    (void)context;
    memcpy(written + written_size, data, size);
    written_size += size;
}

static int accept_one(void *context, const char *message, size_t size) {
    uint32_t number;
    (void)context;
    if (!room)
        return 0;
    room--;
    memcpy(accepted + accepted_size, message, size);
    accepted_size += size;
    accepted[accepted_size++] = '\n';
    if (json_number(json_member(message, size, "n"), &number) && number > done)
        done = number;
    return 1;
}

static uint32_t last_done(void *context) { (void)context; return done; }

static size_t unhex(const char *from) {
    size_t size = 0;
    unsigned byte;
    for (; sscanf(from, "%2x", &byte) == 1; from += 2)
        raw[size++] = (char)byte;
    return size;
}

static void put(const char *data, size_t size) {
    while (size--)
        printf("%02x", (unsigned char)*data++);
    putchar(' ');
}

static void value(size_t size) {
    char text[64];
    char *exact = malloc(size); /* its own block, so that a read beyond it is seen */
    memcpy(exact, raw, size);
    struct json it = {exact, size};
    int32_t used = json_text(it, text, sizeof text);
    printf("%d:", (int)used);
    put(text, used < 0 ? 0 : (size_t)used);
    used = json_base64(it, (uint8_t *)text, sizeof text);
    printf("%d:", (int)used);
    put(text, used < 0 ? 0 : (size_t)used);
    uint32_t number;
    if (json_number(it, &number))
        printf("%lu ", (unsigned long)number);
    else
        printf("no ");
    free(exact);
}

int main(void) {
    while (fgets(line, sizeof line, stdin)) {
        size_t size = unhex(line + 1);
        written_size = accepted_size = 0;
        if (line[0] == 'B') {
            struct link fresh = {.about = "{\"model\":\"m\"}", .in = in, .in_size = sizeof in, .out = out, .out_size = sizeof out,
                                 .write = keep, .accept = accept_one, .done = last_done};
            board = fresh;
            done = 0;
            room = 1000;
            link_boot(&board);
        } else if (line[0] == 'I') {
            link_input(&board, raw, size);
        } else if (line[0] == 'T') {
            link_tick(&board, (uint32_t)strtoul(line + 1, 0, 10));
        } else if (line[0] == 'R') {
            room = (unsigned)strtoul(line + 1, 0, 10);
        } else if (line[0] == 'P') {
            struct json_out message = link_message(&board);
            json_put_text(&message, "y", raw, size);
            link_post(&board, &message);
        } else if (line[0] == 'J') {
            value(size);
        }
        printf("w");
        put(written, written_size);
        printf("a");
        put(accepted, accepted_size);
        printf("%d\n", link_is_idle(&board));
        fflush(stdout);
    }
    return 0;
}
