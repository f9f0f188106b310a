/* What lwIP asks of the compiler and the processor. */
#ifndef HIL_LWIP_CC_H
#define HIL_LWIP_CC_H
#include <stdint.h>
#define LWIP_PLATFORM_DIAG(message)
#define LWIP_PLATFORM_ASSERT(message) do { } while (0)
#define LWIP_RAND() (*(volatile uint32_t *)0xE000E018 ^ *(volatile uint32_t *)0x4001002C) /* SysTick and the FPGA's cycle counter */
#define LWIP_NO_UNISTD_H 1
#define LWIP_NO_CTYPE_H 0
typedef int sys_prot_t;
#endif
