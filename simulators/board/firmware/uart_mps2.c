/* mps2-an385: CMSDK APB UART 0. QEMU does not pace a UART by its baud rate. */
#include "board.h"

#define REGISTER(address) (*(volatile uint32_t *)(address))
#define UART 0x40004000u
#define UART_DATA REGISTER(UART)
#define UART_STATE REGISTER(UART + 4)
#define UART_CONTROL REGISTER(UART + 8)
#define UART_INTERRUPT REGISTER(UART + 12)
#define UART_DIVISOR REGISTER(UART + 16)
#define CLOCK_HZ 25000000u

void uart_isr(void) {
    UART_INTERRUPT = 2; /* before draining: cleared after it, a byte that arrives in between is never announced */
    while (UART_STATE & 2)
        uart_received((char)UART_DATA);
}

void uart_start(void) {
    UART_DIVISOR = CLOCK_HZ / 115200;
    UART_CONTROL = 1 | 2 | 8; /* send, receive, interrupt on receive */
    processor_start(CLOCK_HZ, 0);
}

void uart_write(const char *data, size_t size) {
    while (size--) {
        while (UART_STATE & 1)
            ;
        UART_DATA = (uint8_t)*data++;
    }
}
