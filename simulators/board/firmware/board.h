/* The parts of the firmware and what each offers. Nothing here allocates; buffers are static and their sizes are limits of the board. */
#ifndef HIL_BOARD_H
#define HIL_BOARD_H

#include <stddef.h>
#include <stdint.h>

#ifndef VERSION
#define VERSION "1.0.0"
#endif
#ifndef MODEL
#define MODEL "mps2-an385"
#endif

/* uart_….c, the only file that a new board needs: one serial line, whose received bytes its interrupt hands to uart_received. */
void uart_start(void); /* ends with processor_start */
void uart_isr(void);
void uart_write(const char *data, size_t size);

/* cortex_m.c */
void processor_start(uint32_t clock_hz, uint32_t uart_interrupt);
void uart_received(char c);
size_t uart_read(char *data, size_t room);
uint32_t uart_lost(void);   /* bytes that found the ring full */
uint32_t clock_ms(void);    /* since the start; goes in steps of 10 */
void sleep_until_interrupt(void);
void machine_reset(void);

/* console.c */
void console(const char *text);
void console_number(const char *label, uint32_t value);

/* flash.c: memory that outlives reset and power cut. Erased bytes are 0xFF, programming clears bits only, a power cut may stop either
 * anywhere. */
#define FLASH_SECTOR 4096u
#ifndef SLOT_SIZE
#define SLOT_SIZE 0x40000u
#define STORE_SIZE 0x10000u
#endif
#define SLOT_A 0u
#define SLOT_B SLOT_SIZE
#define LOGO (2 * SLOT_SIZE)
#define STORE_A (3 * SLOT_SIZE)
#define STORE_B (STORE_A + STORE_SIZE)
#define FLASH_SIZE (STORE_B + STORE_SIZE)
const uint8_t *flash_at(uint32_t offset);
void flash_erase(uint32_t offset, uint32_t size); /* whole sectors */
int flash_program(uint32_t offset, const void *data, uint32_t size); /* 0: what stands there now is not `data` */

/* digest.c */
struct sha256 {
    uint32_t state[8], size;
    uint8_t block[64];
};
void sha256_start(struct sha256 *sha);
void sha256_add(struct sha256 *sha, const uint8_t *data, size_t size);
void sha256_hex(struct sha256 *sha, char hex[65]);
uint32_t crc32(uint32_t crc, const void *data, size_t size); /* start with 0 */

/* store.c: the newest record of each kind; a power cut leaves the old one or the new one. */
enum record_kind { RECORD_CONFIGURATION = 1, RECORD_DONE = 2, RECORD_KINDS = 3 };
void store_open(void);
const void *store_get(enum record_kind kind, uint32_t *size); /* 0: there is none */
int store_put(enum record_kind kind, const void *data, uint32_t size);

/* slots.c: two places for images; the running one is never written. */
#define IMAGE_HEADER 64u
#ifndef IMAGE_LOAD
#define IMAGE_LOAD 0x00200000u
#endif
#define IMAGE_MAX (SLOT_SIZE - FLASH_SECTOR)
enum slot { FACTORY, A, B };
enum slot slot_to_boot(void);
uint32_t slot_load(enum slot slot);    /* copies it to where it runs; returns the address of its vectors */
extern enum slot slot_running;
int slot_begin(void);                  /* erases the slot that does not run */
int slot_write(uint32_t at, const uint8_t *data, uint32_t size);
const char *slot_finish(uint32_t size); /* 0: it will run after the next reset; otherwise why it is refused */
const char *slot_name(enum slot slot);

/* payload.c */
int32_t json_compact(const char *in, size_t size, char *out, size_t room); /* without blanks; -1: not JSON, not UTF-8, too deep, no room */

/* bridge.c or network.c: the board as its world sees it. */
void board_start(void);
void board_input(const char *data, size_t size);
void board_step(uint32_t now_ms);

#endif
