/* The board: read the line, let the link and the application do their step, sleep. */
#include "board.h"

int main(void) {
    static char received[512];
    uint32_t lost = 0;
    uart_start();
    console("\nBooting v" VERSION " on " MODEL ", image ");
    console(slot_name(slot_running));
    console("\n");
    store_open();
    board_start();
    for (;;) {
        size_t size = uart_read(received, sizeof received);
        board_input(received, size);
        board_step(clock_ms());
        if (uart_lost() != lost) {
            lost = uart_lost();
            console_number("receive ring full, bytes lost so far: ", lost);
            console("\n");
        }
        if (!size)
            sleep_until_interrupt();
    }
}
