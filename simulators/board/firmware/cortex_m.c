/* What all Cortex-M boards share: the receive ring, a clock of 100 Hz, sleep and reset. */
#include "board.h"

#define REGISTER(address) (*(volatile uint32_t *)(address))
#ifndef RING
#define RING 32768u
#endif

static volatile char ring[RING];
static volatile uint32_t ring_in, ring_out, lost, ticks;

void uart_received(char c) {
    if (ring_in - ring_out < RING)
        ring[ring_in++ % RING] = c;
    else
        lost++;
}

size_t uart_read(char *data, size_t room) {
    size_t size = 0;
    while (size < room && ring_out != ring_in)
        data[size++] = ring[ring_out++ % RING];
    return size;
}

void systick_isr(void) { ticks++; }

void processor_start(uint32_t clock_hz, uint32_t uart_interrupt) {
    REGISTER(0xE000E100 + 4 * (uart_interrupt / 32)) = 1u << uart_interrupt % 32; /* NVIC */
    REGISTER(0xE000E014) = clock_hz / 100 - 1;
    REGISTER(0xE000E018) = 0;
    REGISTER(0xE000E010) = 7; /* SysTick: processor clock, interrupt, on. 100 Hz: 1 kHz costs five times the idle time */
    __asm volatile("cpsie i");
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
