/* The Ethernet of mps2-an385, an SMSC LAN9118, polled. Register names and numbers are those of its data sheet. */
#include "ethernet.h"
#include "lwip/etharp.h"
#include "lwip/pbuf.h"

#define REGISTER(offset) (*(volatile uint32_t *)(0x40200000u + (offset)))
#define RX_DATA REGISTER(0x00)
#define TX_DATA REGISTER(0x20)
#define RX_STATUS REGISTER(0x40)
#define TX_STATUS REGISTER(0x48)
#define RX_CFG REGISTER(0x6C)
#define TX_CFG REGISTER(0x70)
#define HW_CFG REGISTER(0x74)
#define RX_FIFO_INF REGISTER(0x7C)
#define TX_FIFO_INF REGISTER(0x80)
#define MAC_CSR_CMD REGISTER(0xA4)
#define MAC_CSR_DATA REGISTER(0xA8)
#define FRAME_MAX 1600u

static void mac_write(uint32_t index, uint32_t value) {
    while (MAC_CSR_CMD >> 31)
        ;
    MAC_CSR_DATA = value;
    MAC_CSR_CMD = 0x80000000u | index;
    while (MAC_CSR_CMD >> 31)
        ;
}

static err_t transmit(struct netif *netif, struct pbuf *packet) {
    static uint32_t words[FRAME_MAX / 4];
    uint32_t size = packet->tot_len;
    (void)netif;
    if (size > FRAME_MAX)
        return ERR_BUF;
    pbuf_copy_partial(packet, words, (u16_t)size, 0);
    TX_DATA = 0x3000u | size; /* first and last segment */
    TX_DATA = size;
    for (uint32_t i = 0; i < (size + 3) / 4; i++)
        TX_DATA = words[i];
    while (TX_FIFO_INF >> 16 & 0xFF)
        (void)TX_STATUS;
    return ERR_OK;
}

err_t ethernet_start(struct netif *netif) {
    static const uint8_t address[6] = {0x52, 0x54, 0x00, 0x12, 0x34, 0x56};
    HW_CFG = 5u << 16 | 1u << 20; /* 5 kB for sending, whole frames */
    TX_CFG = 2;
    RX_CFG = 0;
    mac_write(2, address[4] | (uint32_t)address[5] << 8);
    mac_write(3, address[0] | (uint32_t)address[1] << 8 | (uint32_t)address[2] << 16 | (uint32_t)address[3] << 24);
    mac_write(1, 0xC); /* send and receive */
    netif->name[0] = 'e';
    netif->name[1] = '0';
    netif->mtu = 1500;
    netif->hwaddr_len = 6;
    for (int i = 0; i < 6; i++)
        netif->hwaddr[i] = address[i];
    netif->output = etharp_output;
    netif->linkoutput = transmit;
    netif->flags = NETIF_FLAG_BROADCAST | NETIF_FLAG_ETHARP | NETIF_FLAG_ETHERNET | NETIF_FLAG_LINK_UP;
    return ERR_OK;
}

int ethernet_poll(struct netif *netif) {
    static uint32_t words[FRAME_MAX / 2];
    int count = 0;
    for (; RX_FIFO_INF >> 16 & 0xFF; count++) {
        uint32_t size = RX_STATUS >> 16 & 0x3FFF; /* with its checksum */
        for (uint32_t i = 0; i < (size + 3) / 4; i++) {
            uint32_t word = RX_DATA;
            if (i < FRAME_MAX / 2)
                words[i] = word;
        }
        if (size < 18 || size > FRAME_MAX)
            continue;
        struct pbuf *packet = pbuf_alloc(PBUF_RAW, (u16_t)(size - 4), PBUF_POOL);
        if (!packet)
            continue; /* TCP sends it again */
        pbuf_take(packet, words, (u16_t)(size - 4));
        if (netif->input(packet, netif) != ERR_OK)
            pbuf_free(packet);
    }
    return count;
}
