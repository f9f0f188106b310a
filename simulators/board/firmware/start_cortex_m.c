/* Vectors and the way to main for a Cortex-M3. The resident image (RESIDENT) first looks for an installed one and runs that. */
#include "board.h"

extern uint32_t data_source, data_start, data_end, bss_start, bss_end, stack_top, boot_slot;
int main(void);
void uart_isr(void);
void systick_isr(void);

static void fill_memory(void) {
    const uint32_t *from = &data_source;
    for (volatile uint32_t *to = &data_start; to < &data_end;)
        *to++ = *from++;
    for (volatile uint32_t *to = &bss_start; to < &bss_end;)
        *to++ = 0;
}

#ifdef RESIDENT
static void run_installed_image(void) {
    enum slot slot = slot_to_boot();
    if (slot != FACTORY) {
        uint32_t vectors = slot_load(slot);
        boot_slot = slot;
        *(volatile uint32_t *)0xE000ED08 = vectors; /* VTOR */
        __asm volatile("msr msp, %0\nbx %1" ::"r"(*(uint32_t *)vectors), "r"(*(uint32_t *)(vectors + 4)));
    }
    boot_slot = FACTORY;
}
#endif

void reset_handler(void) {
    __asm volatile("cpsid i");
    fill_memory();
#ifdef RESIDENT
    run_installed_image();
#endif
    slot_running = (enum slot)boot_slot;
    main();
    machine_reset();
}

void fault_handler(void) {
    console("fault\n");
    machine_reset();
}

__attribute__((section(".vectors"), used)) void (*const vectors[16 + 80])(void) = {
    (void (*)(void))&stack_top, reset_handler, fault_handler, fault_handler, fault_handler, fault_handler, fault_handler,
    0, 0, 0, 0, fault_handler, fault_handler, 0, fault_handler, systick_isr, [16 ... 95] = uart_isr,
};
