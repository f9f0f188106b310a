/* A log of records in two flash areas. An area starts with a head that is written last, when everything in it is complete; records are
 * appended with their CRC; a torn record ends the log, and the next put moves to the other area. */
#include "board.h"

#define HEAD_MAGIC 0x53544F52u
#define RECORD_MAGIC 0x52454331u

struct head {
    uint32_t magic, generation, check;
};
struct record {
    uint32_t magic, kind, size, crc;
};

static uint32_t area, used; /* offset of the area in use; how far it is filled; STORE_SIZE: a torn record, nothing may follow */
static uint32_t found[RECORD_KINDS];

static uint32_t generation_of(uint32_t where) {
    const struct head *head = (const struct head *)flash_at(where);
    return head->magic == HEAD_MAGIC && head->check == ~head->generation ? head->generation : 0;
}

static uint32_t padded(uint32_t size) { return (size + 3) & ~3u; }

static uint32_t crc_of(uint32_t kind, const void *data, uint32_t size) { return crc32(crc32(crc32(0, &kind, 4), &size, 4), data, size); }

static void forget(void) {
    for (int kind = 0; kind < RECORD_KINDS; kind++)
        found[kind] = 0;
}

static void scan(void) {
    forget();
    for (used = sizeof(struct head); used + sizeof(struct record) <= STORE_SIZE;) {
        const struct record *record = (const struct record *)flash_at(area + used);
        if (record->magic == 0xFFFFFFFFu && record->kind == 0xFFFFFFFFu)
            return;
        if (record->magic != RECORD_MAGIC || record->kind >= RECORD_KINDS || record->size > STORE_SIZE - used - sizeof *record
            || crc_of(record->kind, record + 1, record->size) != record->crc)
            break;
        found[record->kind] = used;
        used += sizeof *record + padded(record->size);
    }
    used = STORE_SIZE;
}

static int append(uint32_t where, uint32_t *end, uint32_t kind, const void *data, uint32_t size) {
    struct record record = {RECORD_MAGIC, kind, size, crc_of(kind, data, size)};
    uint32_t at = where + *end;
    *end += sizeof record + padded(size);
    return flash_program(at, &record, sizeof record) && flash_program(at + sizeof record, data, size);
}

/* Copies the newest records, the new one among them, to the other area, and makes that one count. */
static int move(uint32_t kind, const void *data, uint32_t size) {
    uint32_t other = area == STORE_A ? STORE_B : STORE_A, end = sizeof(struct head), old_size;
    struct head head = {HEAD_MAGIC, generation_of(area) + 1, ~(generation_of(area) + 1)};
    int is_good = 1;
    flash_erase(other, STORE_SIZE);
    for (uint32_t each = 1; each < RECORD_KINDS; each++) {
        const void *old = each == kind ? data : store_get(each, &old_size);
        if (old)
            is_good &= append(other, &end, each, old, each == kind ? size : old_size);
    }
    is_good = is_good && flash_program(other, &head, sizeof head);
    if (is_good)
        area = other;
    scan();
    return is_good;
}

void store_open(void) {
    uint32_t a = generation_of(STORE_A), b = generation_of(STORE_B);
    area = b > a ? STORE_B : STORE_A;
    forget();
    if (a || b)
        scan();
    else
        used = STORE_SIZE; /* never written: the first put moves to B and makes it valid */
}

const void *store_get(enum record_kind kind, uint32_t *size) {
    const struct record *record = (const struct record *)flash_at(area + found[kind]);
    *size = found[kind] ? record->size : 0;
    return found[kind] ? record + 1 : 0;
}

int store_put(enum record_kind kind, const void *data, uint32_t size) {
    if (used + sizeof(struct record) + padded(size) > STORE_SIZE)
        return move(kind, data, size);
    uint32_t at = used;
    if (!append(area, &used, kind, data, size))
        return move(kind, data, size);
    found[kind] = at;
    return 1;
}
