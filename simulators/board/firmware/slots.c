/* Two image slots. A slot's first sector holds its seal, written last: number, size and CRC of what lies behind it. The highest valid
 * number boots; a slot whose bytes do not fit its seal is passed over, down to the factory image in the resident memory.
 *
 * An image: "HIL1", size, CRC-32 and load address of the program, 32 bytes of version text, zeros up to 64 bytes, the program. */
#include "board.h"

#define SEAL_MAGIC 0x5345414Cu

struct seal {
    uint32_t magic, number, size, crc, check;
};
struct image {
    char magic[4];
    uint32_t size, crc, load;
    char version[32];
};

enum slot slot_running;

static uint32_t offset_of(enum slot slot) { return slot == B ? SLOT_B : SLOT_A; }
static const struct seal *seal_of(enum slot slot) { return (const struct seal *)flash_at(offset_of(slot)); }
static const uint8_t *bytes_of(enum slot slot) { return flash_at(offset_of(slot) + FLASH_SECTOR); }

static uint32_t number_of(enum slot slot) {
    const struct seal *seal = seal_of(slot);
    if (seal->magic != SEAL_MAGIC || seal->size > IMAGE_MAX || seal->check != crc32(0, seal, 16))
        return 0;
    return crc32(0, bytes_of(slot), seal->size) == seal->crc ? seal->number : 0;
}

enum slot slot_to_boot(void) {
    uint32_t a = number_of(A), b = number_of(B);
    return !a && !b ? FACTORY : a > b ? A : B;
}

uint32_t slot_load(enum slot slot) {
    const struct image *image = (const struct image *)bytes_of(slot);
    const uint32_t *from = (const uint32_t *)(bytes_of(slot) + IMAGE_HEADER);
    for (uint32_t word = 0; word < (image->size + 3) / 4; word++)
        ((volatile uint32_t *)IMAGE_LOAD)[word] = from[word];
    return IMAGE_LOAD;
}

static enum slot spare(void) { return slot_running == A ? B : A; }

int slot_begin(void) {
    flash_erase(offset_of(spare()), FLASH_SECTOR); /* first: from here on it is not valid */
    flash_erase(offset_of(spare()), SLOT_SIZE);
    return 1;
}

int slot_write(uint32_t at, const uint8_t *data, uint32_t size) {
    return at <= IMAGE_MAX && size <= IMAGE_MAX - at && flash_program(offset_of(spare()) + FLASH_SECTOR + at, data, size);
}

const char *slot_finish(uint32_t size) {
    const struct image *image = (const struct image *)bytes_of(spare());
    if (size < IMAGE_HEADER || *(const uint32_t *)image->magic != 0x314C4948u)
        return "no image for this board";
    if (image->load != IMAGE_LOAD || image->size != size - IMAGE_HEADER)
        return "an image for another memory or of another size";
    if (crc32(0, (const uint8_t *)image + IMAGE_HEADER, image->size) != image->crc)
        return "the image's CRC does not fit";
    uint32_t a = number_of(A), b = number_of(B);
    struct seal seal = {SEAL_MAGIC, (a > b ? a : b) + 1, size, crc32(0, image, size), 0};
    seal.check = crc32(0, &seal, 16);
    return flash_program(offset_of(spare()), &seal, sizeof seal) ? 0 : "the flash did not take it";
}

const char *slot_name(enum slot slot) { return slot == A ? "A" : slot == B ? "B" : "factory"; }
