/* See mqtt_input.c. */
#ifndef HIL_MQTT_INPUT_H
#define HIL_MQTT_INPUT_H
#include "lwip/apps/mqtt.h"

/* To be called after each mqtt_client_connect that returned ERR_OK. */
void mqtt_input_gather(mqtt_client_t *client);
#endif
