/* Flash on mps2-an385: the PSRAM, which the bench backs with a file, behind the rules of real flash. */
#include "board.h"

#ifndef FLASH_BASE
#define FLASH_BASE 0x21000000u
#endif

const uint8_t *flash_at(uint32_t offset) { return (const uint8_t *)(FLASH_BASE + offset); }

void flash_erase(uint32_t offset, uint32_t size) {
    volatile uint32_t *word = (volatile uint32_t *)(FLASH_BASE + offset);
    for (uint32_t count = (size + FLASH_SECTOR - 1) / FLASH_SECTOR * (FLASH_SECTOR / 4); count; count--)
        *word++ = 0xFFFFFFFFu;
}

int flash_program(uint32_t offset, const void *data, uint32_t size) {
    volatile uint8_t *to = (volatile uint8_t *)(FLASH_BASE + offset);
    const uint8_t *from = data;
    int is_same = 1;
    for (; size--; to++, from++) {
        *to &= *from;
        is_same &= *to == *from;
    }
    return is_same;
}
