/* netduinoplus2 (STM32F405): USART 1. */
#include "board.h"

#define REGISTER(address) (*(volatile uint32_t *)(address))
#define USART 0x40011000u
#define USART_STATUS REGISTER(USART)
#define USART_DATA REGISTER(USART + 4)
#define USART_DIVISOR REGISTER(USART + 8)
#define USART_CONTROL REGISTER(USART + 12)
#define CLOCK_HZ 168000000u

void uart_isr(void) {
    while (USART_STATUS & 0x20)
        uart_received((char)USART_DATA);
}

void uart_start(void) {
    USART_DIVISOR = CLOCK_HZ / 2 / 115200;
    USART_CONTROL = 0x2000 | 0x20 | 8 | 4; /* on, interrupt on receive, send, receive */
    processor_start(CLOCK_HZ, 37);
}

void uart_write(const char *data, size_t size) {
    while (size--) {
        while (!(USART_STATUS & 0x80))
            ;
        USART_DATA = (uint8_t)*data++;
    }
}
