/* Log lines for people; they share the line with the link's frames. */
#include "board.h"

void console(const char *text) {
    size_t size = 0;
    while (text[size])
        size++;
    uart_write(text, size);
}

void console_number(const char *label, uint32_t value) {
    char digits[12];
    int at = sizeof digits;
    digits[--at] = 0;
    do
        digits[--at] = (char)('0' + value % 10);
    while (value /= 10);
    console(label);
    console(digits + at);
}
