/* Parts of the firmware in a process of their own, with the sanitizers. One request a line: S<hex> SHA-256, C<hex> CRC-32, J<hex> JSON
 * without blanks or "no", W wipe the flash, P kind size seed limit: store a record of `size` bytes made of `seed` while the flash takes
 * `limit` more bytes, then restart; G kind: size and seed of what is stored, or nothing. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "board.h"

static char line[262144], out[65536];
static uint8_t raw[131072], flash[FLASH_SIZE];
static long budget;

const uint8_t *flash_at(uint32_t offset) { return flash + offset; }

void flash_erase(uint32_t offset, uint32_t size) {
    for (uint32_t i = 0; i < size && budget > 0; i++, budget--)
        flash[offset + i] = 0xFF;
}

int flash_program(uint32_t offset, const void *data, uint32_t size) {
    int is_same = 1;
    for (uint32_t i = 0; i < size; i++) {
        if (budget-- > 0)
            flash[offset + i] &= ((const uint8_t *)data)[i];
        is_same &= flash[offset + i] == ((const uint8_t *)data)[i];
    }
    return is_same || budget < 0; /* without power nobody compares */
}

static size_t unhex(const char *from) {
    size_t size = 0;
    unsigned byte;
    for (; sscanf(from, "%2x", &byte) == 1; from += 2)
        raw[size++] = (uint8_t)byte;
    return size;
}

static void fill(uint32_t size, unsigned seed) {
    for (uint32_t i = 0; i < size; i++)
        raw[i] = (uint8_t)(seed + i * 7);
}

static void get(int kind) {
    uint32_t size;
    const uint8_t *found = store_get((enum record_kind)kind, &size);
    if (!found)
        return;
    for (unsigned seed = 0; seed < 256; seed++) {
        fill(size, seed);
        if (!memcmp(raw, found, size) && size) {
            printf("%u %u", (unsigned)size, seed);
            return;
        }
    }
    printf(size ? "garbage" : "0 0");
}

int main(void) {
    while (fgets(line, sizeof line, stdin)) {
        struct sha256 sha;
        unsigned kind, length, seed;
        long limit;
        char hex[65];
        size_t size = line[0] == 'S' || line[0] == 'C' || line[0] == 'J' ? unhex(line + 1) : 0;
        if (line[0] == 'S') {
            sha256_start(&sha);
            sha256_add(&sha, raw, size);
            sha256_hex(&sha, hex);
            printf("%s", hex);
        } else if (line[0] == 'C') {
            printf("%x", (unsigned)crc32(0, raw, size));
        } else if (line[0] == 'J') {
            char *exact = malloc(size ? size : 1);
            memcpy(exact, raw, size);
            int32_t used = json_compact(exact, size, out, sizeof out);
            for (int32_t i = 0; i < used; i++)
                printf("%02x", (unsigned char)out[i]);
            printf(used < 0 ? "no" : "");
            free(exact);
        } else if (line[0] == 'W') {
            memset(flash, 0, sizeof flash); /* QEMU's file starts as zeros */
            store_open();
        } else if (sscanf(line, "P %u %u %u %ld", &kind, &length, &seed, &limit) == 4) {
            fill(length, seed);
            budget = limit;
            printf("%d", store_put((enum record_kind)kind, raw, length));
            budget = 1L << 40;
            store_open();
        } else if (line[0] == 'G') {
            get(atoi(line + 1));
        }
        printf("\n");
        fflush(stdout);
    }
    return 0;
}
