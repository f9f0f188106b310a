/* One HTTP GET at a time, into the installer (application.h). */
#ifndef HIL_REQUEST_H
#define HIL_REQUEST_H
#include <stdint.h>
/* 0, or why it cannot be: the URL must be http:// with an IPv4 address. `ended` is called once, with 0 or what went wrong. */
const char *request_start(const char *url, const char *token, void (*ended)(const char *problem));
int request_is_running(void);
void request_step(uint32_t now_ms);
#endif
