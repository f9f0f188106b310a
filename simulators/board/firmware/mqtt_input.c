/* What TCP brings, in pieces that lwIP's MQTT client reads right.
 *
 * mqtt_parse_incoming of lwIP 2.1.3 writes each part of a packet to the same place of its buffer, behind the fixed header, and judges what
 * lies there when the last part has come: of a packet that TCP brings in several parts, all but the last are lost. It reads right what
 * completes a packet at once, and what fills its buffer. So bytes are gathered here until one of the two is true. */
#include "mqtt_input.h"
#include "lwip/apps/mqtt_priv.h"
#include "lwip/tcp.h"

#define FIXED_HEADER_MAX 5u /* the type, and a length of four bytes at most */

static struct {
    tcp_connected_fn connected; /* lwIP's own */
    tcp_recv_fn received;
    uint8_t bytes[MQTT_VAR_HEADER_BUFFER_LEN]; /* as they lie in lwIP's buffer: the fixed header stays in front of each piece */
    size_t header, start, end;                 /* length of the fixed header, 0 until it is whole; the piece that is gathered */
    uint32_t missing;                          /* bytes of the packet still to come */
} input;

static void begin_packet(void) {
    input.header = input.start = input.end = 0;
    input.missing = 0;
}

/* Whether a piece can be handed over now. */
static int take(uint8_t byte) {
    input.bytes[input.end++] = byte;
    if (input.header) {
        input.missing--;
    } else if (input.end > 1) {
        input.missing |= (uint32_t)(byte & 0x7Fu) << (7 * (input.end - 2));
        if (!(byte & 0x80u))
            input.header = input.end;
    }
    return input.header && (!input.missing || input.end == sizeof input.bytes);
}

static err_t hand_over(void *client, struct tcp_pcb *pcb) {
    struct pbuf *piece = pbuf_alloc_reference(input.bytes + input.start, (u16_t)(input.end - input.start), PBUF_REF);
    if (!piece)
        return ERR_MEM;
    if (input.missing)
        input.start = input.end = input.header;
    else
        begin_packet();
    return input.received(client, pcb, piece, ERR_OK); /* reads the piece before it returns */
}

static err_t received(void *argument, struct tcp_pcb *pcb, struct pbuf *packet, err_t error) {
    mqtt_client_t *client = argument;
    if (!packet || error != ERR_OK)
        return input.received(argument, pcb, packet, error);
    for (u16_t at = 0; at < packet->tot_len && client->conn == pcb && error == ERR_OK; at++) { /* lwIP may close the connection */
        if (take(pbuf_get_at(packet, at)))
            error = hand_over(argument, pcb);
        else if (!input.header && input.end == FIXED_HEADER_MAX)
            error = ERR_VAL;
    }
    pbuf_free(packet);
    if (error == ERR_OK)
        return ERR_OK;
    tcp_abort(pcb);
    return ERR_ABRT;
}

static err_t connected(void *argument, struct tcp_pcb *pcb, err_t error) {
    error = input.connected(argument, pcb, error);
    begin_packet();
    input.received = pcb->recv;
    tcp_recv(pcb, received);
    return error;
}

void mqtt_input_gather(mqtt_client_t *client) {
    input.connected = client->conn->connected;
    client->conn->connected = connected;
}
