/* mps2-an385: CMSDK APB UART 0 and SysTick. QEMU does not pace a UART by its baud rate. */
#include "board.h"

#define REGISTER(address) (*(volatile uint32_t *)(address))
#define UART 0x40004000u
#define UART_DATA REGISTER(UART)
#define UART_STATE REGISTER(UART + 4)
#define UART_CONTROL REGISTER(UART + 8)
#define UART_INTERRUPT REGISTER(UART + 12)
#define UART_DIVISOR REGISTER(UART + 16)
#define CLOCK_HZ 25000000u
#define RING 32768u

static volatile char ring[RING];
static volatile uint32_t ring_in, ring_out, lost, ticks;

void uart_isr(void) {
    UART_INTERRUPT = 2; /* before draining: cleared after it, a byte that arrives in between is never announced */
    while (UART_STATE & 2) {
        char c = (char)UART_DATA;
        if (ring_in - ring_out < RING)
            ring[ring_in++ % RING] = c;
        else
            lost++;
    }
}

void systick_isr(void) { ticks++; }

void uart_start(void) {
    UART_DIVISOR = CLOCK_HZ / 115200;
    UART_CONTROL = 1 | 2 | 8; /* send, receive, interrupt on receive */
    REGISTER(0xE000E100) = 1; /* NVIC: interrupt 0 */
    REGISTER(0xE000E014) = CLOCK_HZ / 100 - 1;
    REGISTER(0xE000E018) = 0;
    REGISTER(0xE000E010) = 7; /* SysTick: processor clock, interrupt, on. 100 Hz: 1 kHz costs five times the idle time */
    __asm volatile("cpsie i");
}

void uart_write(const char *data, size_t size) {
    while (size--) {
        while (UART_STATE & 1)
            ;
        UART_DATA = (uint8_t)*data++;
    }
}

size_t uart_read(char *data, size_t room) {
    size_t size = 0;
    while (size < room && ring_out != ring_in)
        data[size++] = ring[ring_out++ % RING];
    return size;
}

uint32_t uart_lost(void) { return lost; }
uint32_t clock_ms(void) { return ticks * 10; }

void sleep_until_interrupt(void) {
    __asm volatile("cpsid i");
    if (ring_in == ring_out)
        __asm volatile("wfi"); /* wakes for an interrupt that is pending, also one that came since the comparison */
    __asm volatile("cpsie i\nisb");
}

void machine_reset(void) {
    REGISTER(0xE000ED0C) = 0x05FA0004; /* SYSRESETREQ */
    for (;;)
        ;
}
