/* Board link, version 1: drop link.h and link.c into a firmware. No heap, no stdio, no interrupts, C99.
 *
 * The firmware gives two buffers and three functions, calls link_input with what the UART received and link_tick now and then
 * (every 10 ms will do), and builds messages with link_message, json_put_… and link_post. LINK.md explains frames and messages. */
#ifndef HIL_LINK_H
#define HIL_LINK_H

#include <stddef.h>
#include <stdint.h>

#define LINK_VERSION 1
#define LINK_RETRY_MS 250
#define LINK_BYTES_PER_MS 8 /* of the line; 115200 baud are 11.5: a copy sent too early delays everything */
#define LINK_FRAME_EXTRA 9 /* receive buffer: longest body + this */

struct link {
    /* To be filled in before link_boot. */
    const char *about;   /* JSON object that tells what the board is, e.g. {"model":"x","version":"1.0.0"} */
    char *in;            /* receive buffer */
    size_t in_size;      /* its size: longest body that the board takes + LINK_FRAME_EXTRA */
    char *out;           /* holds one message until the host took it */
    size_t out_size;
    void *context;       /* handed to the functions below */
    void (*write)(void *context, const char *data, size_t size);
    /* Called once for each new message before it is acknowledged: write a command's number down here. 0: no room, ask me again. */
    int (*accept)(void *context, const char *message, size_t size);
    uint32_t (*done)(void *context); /* the last command number written down; 0: none */

    /* The link's own. */
    size_t in_used, out_used;
    uint32_t next_try_ms;
    uint16_t connection, in_sequence, out_sequence;
    uint8_t is_open, is_sent, state;
};

void link_boot(struct link *link);
void link_input(struct link *link, const char *data, size_t size);
void link_tick(struct link *link, uint32_t now_ms);

/* ---- messages out: begin, put, post ---- */
struct json_out {
    char *at, *end;
    uint8_t is_full, needs_comma;
};

int link_is_idle(const struct link *link);        /* 1: the host took the last message, the next may be built */
struct json_out link_message(struct link *link);  /* only while idle */
int link_post(struct link *link, struct json_out *message); /* 0: it did not fit and is forgotten */

void json_put_text(struct json_out *out, const char *key, const char *text, size_t size);
void json_put_json(struct json_out *out, const char *key, const char *text, size_t size); /* as it is: valid, compact JSON */
void json_put_number(struct json_out *out, const char *key, uint32_t value);

/* ---- messages in: spans of the receive buffer, valid until accept returns ---- */
struct json {
    const char *at;
    size_t size; /* 0: there is no such member */
};

struct json json_member(const char *object, size_t size, const char *key);
int json_is(struct json value, const char *text);                       /* value is the string text */
int json_number(struct json value, uint32_t *number);                   /* whole, 0 to 4294967295; 0: it is not */
int32_t json_text(struct json value, char *out, size_t room);           /* unescaped UTF-8, with a 0 behind it; -1: no string, or no room */
int32_t json_base64(struct json value, uint8_t *out, size_t room);      /* -1: no base64, or no room */
uint16_t link_crc16(uint16_t crc, const char *data, size_t size);

#endif
