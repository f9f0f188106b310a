/* What commands do, for both kinds of boards: the bridge (bridge.c) and the one with a network of its own (network.c). */
#ifndef HIL_APPLICATION_H
#define HIL_APPLICATION_H

#include "board.h"
#include "link.h" /* for its JSON */

#ifndef PAYLOAD_MAX
#define PAYLOAD_MAX 16384u
#define BODY_MAX 24576u /* of a link frame; text of that size may need its quotes escaped */
#endif
#define NAME_MAX 64u

struct answer {
    const char *text; /* JSON, until the next call of this file */
    size_t size;      /* 0: it did not fit */
};
struct offer {
    int is_firmware;
    char file[136], url[520];
};
enum outcome { ANSWERED, REBOOT, DOWNLOAD }; /* DOWNLOAD: no answer yet; see application_offer */

enum outcome application_execute(const char *name, const char *payload, size_t size, int is_downloading, struct answer *answer);
struct answer application_answer(int is_success, const char *message);

/* A download: begin, add in order, end with what went wrong or 0. The image runs after the next reset. */
const struct offer *application_offer(void);
void install_begin(void);
int install_add(const uint8_t *bytes, uint32_t size); /* 0: it does not fit, or the flash did not take it */
uint32_t install_size(void);
struct answer install_end(const char *problem);

size_t text_length(const char *text);
int text_equal(const char *left, const char *right);

#endif
