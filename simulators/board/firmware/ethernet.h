/* One Ethernet interface for lwIP. */
#ifndef HIL_ETHERNET_H
#define HIL_ETHERNET_H
#include "lwip/netif.h"
err_t ethernet_start(struct netif *netif);
int ethernet_poll(struct netif *netif); /* hands received frames to lwIP; returns how many there were */
#endif
