/* The board with a network of its own: lwIP's TCP/IP and MQTT client, an HTTP request of our own, a console that provisions it.
 *
 * lwIP 2.1.3 hands over each PUBLISH as it comes and remembers no packet ids, so a QoS 2 message that is repeated with DUP would be executed
 * twice. KEEP_PACKET_IDS remembers them until their PUBREL; GATHER_PACKETS mends what lwIP makes of a packet that TCP brings in parts.
 * Without them the firmware shows what lwIP does by itself. */
#include "application.h"
#include "ethernet.h"
#include "lwip/apps/mqtt.h"
#include "lwip/apps/mqtt_priv.h"
#include "lwip/dhcp.h"
#include "lwip/init.h"
#include "lwip/ip4_addr.h"
#include "lwip/timeouts.h"
#include "mqtt_input.h"
#include "netif/ethernet.h"
#include "request.h"

#define LINE_MAX 256u
#define TOPIC_MAX 192u
#define IDS_MAX 16u
#define RETRY_MS_FIRST 500u
#define RETRY_MS_MAX 16000u

static struct {
    char id[64], token[128], host[32];
    u16_t port, keep_alive_s;
} login = {.keep_alive_s = 30};

static struct netif interface;
static mqtt_client_t *client;
static char line[LINE_MAX], topic[TOPIC_MAX], payload[PAYLOAD_MAX + 1], late[1024];
static size_t line_size, payload_size, late_size;
static uint32_t next_try_ms, retry_ms = RETRY_MS_FIRST, reset_ms, results_under_way;
static u16_t kept_ids[IDS_MAX];
static int is_online, is_connecting, is_wanted, is_reset_due, is_too_long, has_address;

u32_t sys_now(void) { return clock_ms(); }

/* ---- packet ids of QoS 2 messages that await their PUBREL ---- */

#ifdef KEEP_PACKET_IDS
static int is_repeated(u16_t id) {
    unsigned spare = 0;
    for (unsigned i = 0; i < IDS_MAX; i++) {
        if (kept_ids[i] == id)
            return 1;
        if (!kept_ids[i])
            spare = i;
    }
    kept_ids[spare] = id;
    return 0;
}
#endif

void network_released(u16_t id) { /* called by lwIP's mqtt.c, see the Makefile */
    for (unsigned i = 0; i < IDS_MAX; i++)
        if (kept_ids[i] == id)
            kept_ids[i] = 0;
}

/* ---- results ---- */

static void result_left(void *argument, err_t error) {
    (void)argument;
    (void)error;
    if (results_under_way)
        results_under_way--;
}

static void publish(const char *name, struct answer answer) {
    char to[TOPIC_MAX + 32];
    struct json_out text = {to, to + sizeof to - 1, 0, 0};
    const char *parts[] = {login.id, "/control/", name, "/result"};
    for (unsigned i = 0; i < 4; i++)
        for (const char *at = parts[i]; *at && text.at < text.end; at++)
            *text.at++ = *at;
    *text.at = 0;
    if (mqtt_publish(client, to, answer.text, (u16_t)answer.size, 2, 0, result_left, 0) == ERR_OK)
        results_under_way++;
    else
        console("a result could not be sent\n");
}

/* ---- downloads ---- */

static void download_ended(const char *problem) {
    struct answer answer = install_end(problem);
    late_size = answer.size < sizeof late ? answer.size : 0;
    for (size_t i = 0; i < late_size; i++)
        late[i] = answer.text[i]; /* until there is a connection to send it over */
}

static const char *download_name(void) { return application_offer()->is_firmware ? "download_firmware" : "download_logo"; }

/* ---- commands ---- */

static void execute(const char *name) {
    struct answer answer;
    enum outcome outcome;
    if (client->rx_buffer[0] & 1)
        answer = application_answer(0, "a retained command is stale"), outcome = ANSWERED;
    else if (is_too_long)
        answer = application_answer(0, "the payload is too long"), outcome = ANSWERED;
    else
        outcome = application_execute(name, payload, payload_size, request_is_running() || late_size, &answer);
    if (outcome == DOWNLOAD) {
        install_begin();
        const char *problem = request_start(application_offer()->url, login.token, download_ended);
        if (problem)
            download_ended(problem);
        return;
    }
    publish(name, answer);
    if (outcome == REBOOT) {
        is_reset_due = 1;
        reset_ms = clock_ms();
    }
}

static void message_begins(void *argument, const char *name, u32_t size) {
    size_t length = text_length(name);
    (void)argument;
    topic[0] = 0;
    for (size_t i = 0; length < TOPIC_MAX && i <= length; i++)
        topic[i] = name[i];
    payload_size = 0;
    is_too_long = size > PAYLOAD_MAX;
}

static void message_data(void *argument, const u8_t *bytes, u16_t size, u8_t flags) {
    (void)argument;
    for (u16_t i = 0; i < size && payload_size < PAYLOAD_MAX; i++)
        payload[payload_size++] = (char)bytes[i];
    if (!(flags & MQTT_DATA_FLAG_LAST))
        return;
    size_t prefix = text_length(login.id);
    const char *control = "/control/", *name = topic + prefix + 9;
    for (size_t i = 0; i < prefix; i++)
        if (topic[i] != login.id[i])
            return;
    for (size_t i = 0; i < 9; i++)
        if (topic[prefix + i] != control[i])
            return;
    for (const char *at = name; *at; at++)
        if (*at == '/')
            return; /* a result, echoed */
#ifdef KEEP_PACKET_IDS
    if ((client->rx_buffer[0] >> 1 & 3) == 2 && is_repeated(client->inpub_pkt_id))
        return;
#endif
    execute(name);
}

/* ---- connection ---- */

static void try_later(void) { /* half of the wait by chance, twice as long each time */
    next_try_ms = clock_ms() + retry_ms / 2 + LWIP_RAND() % (retry_ms / 2);
    retry_ms = retry_ms * 2 < RETRY_MS_MAX ? retry_ms * 2 : RETRY_MS_MAX;
}

static void subscribed(void *argument, err_t error) {
    (void)argument;
    is_online = error == ERR_OK;
    retry_ms = RETRY_MS_FIRST;
    console(is_online ? "subscribed\n" : "not subscribed\n");
}

static void connection_changed(mqtt_client_t *of, void *argument, mqtt_connection_status_t status) {
    char filter[TOPIC_MAX];
    size_t size = text_length(login.id);
    (void)argument;
    is_connecting = 0;
    if (status != MQTT_CONNECT_ACCEPTED) {
        is_online = 0;
        results_under_way = 0;
        try_later();
        console_number("no broker, status ", status);
        console("\n");
        return;
    }
    of->keep_alive /= 2; /* lwIP pings only when the whole interval is over, which is too late by a tick */
    for (unsigned i = 0; i < IDS_MAX; i++)
        kept_ids[i] = 0; /* lwIP asks for a clean session */
    for (size_t i = 0; i < size; i++)
        filter[i] = login.id[i];
    for (const char *at = "/control/+"; *at; at++)
        filter[size++] = *at;
    filter[size] = 0;
    mqtt_set_inpub_callback(of, message_begins, message_data, 0);
    mqtt_subscribe(of, filter, 2, subscribed, 0);
}

static void connect(void) {
    struct mqtt_connect_client_info_t info = {.client_id = login.id, .client_user = login.id, .client_pass = login.token,
                                              .keep_alive = login.keep_alive_s};
    ip_addr_t address;
    if (!ip4addr_aton(login.host, &address))
        return;
    is_connecting = 1;
    if (mqtt_client_connect(client, &address, login.port, connection_changed, 0, &info) != ERR_OK) {
        is_connecting = 0;
        try_later();
        return;
    }
#ifdef GATHER_PACKETS
    mqtt_input_gather(client);
#endif
}

/* ---- console: set id|token|host|port|keepalive VALUE, connect ---- */

static u16_t number_of(const char *text) {
    uint32_t value = 0;
    for (; *text >= '0' && *text <= '9' && value <= 0xFFFF; text++)
        value = value * 10 + (uint32_t)(*text - '0');
    return (u16_t)value;
}

static int set(const char *key, const char *value) {
    char *to = text_equal(key, "id") ? login.id : text_equal(key, "token") ? login.token : text_equal(key, "host") ? login.host : 0;
    size_t room = to == login.id ? sizeof login.id : to == login.token ? sizeof login.token : sizeof login.host;
    if (to) {
        size_t size = text_length(value);
        for (size_t i = 0; size < room && i <= size; i++)
            to[i] = value[i];
        return size < room;
    }
    if (text_equal(key, "port"))
        login.port = number_of(value);
    else if (text_equal(key, "keepalive"))
        login.keep_alive_s = number_of(value);
    else
        return 0;
    return 1;
}

static void obey(void) {
    char *words[3] = {line, "", ""};
    int count = 0;
    for (char *at = line; *at && count < 2; at++)
        if (*at == ' ') {
            *at = 0;
            words[++count] = at + 1;
        }
    if (text_equal(words[0], "connect")) {
        is_wanted = 1;
        console("ok\n");
    } else if (text_equal(words[0], "set") && count == 2) {
        console(set(words[1], words[2]) ? "ok\n" : "error: unknown, or too long\n");
    } else if (words[0][0]) {
        console("error: set id|token|host|port|keepalive VALUE, or connect\n");
    }
}

void board_start(void) {
    lwip_init();
    netif_add(&interface, 0, 0, 0, 0, ethernet_start, ethernet_input);
    netif_set_default(&interface);
    netif_set_up(&interface);
    dhcp_start(&interface);
    client = mqtt_client_new();
    console("ready\n");
}

void board_input(const char *data, size_t size) {
    for (; size--; data++) {
        if (*data != '\n' && *data != '\r') {
            if (line_size < LINE_MAX - 1)
                line[line_size++] = *data;
            continue;
        }
        line[line_size] = 0;
        line_size = 0;
        obey();
    }
}

void board_step(uint32_t now_ms) {
    ethernet_poll(&interface);
    sys_check_timeouts();
    now_ms = clock_ms(); /* what has just arrived noted its time, which is not to lie ahead of ours */
    if (!has_address && !ip4_addr_isany_val(*netif_ip4_addr(&interface))) {
        has_address = 1;
        console("address ");
        console(ip4addr_ntoa(netif_ip4_addr(&interface)));
        console("\n");
    }
    if (is_wanted && has_address && !is_connecting && !is_online && !mqtt_client_is_connected(client)
        && (int32_t)(now_ms - next_try_ms) >= 0)
        connect();
    request_step(now_ms);
    if (is_online && late_size) {
        publish(download_name(), (struct answer){late, late_size});
        late_size = 0;
    }
    uint32_t waited_ms = now_ms - reset_ms;
    if (is_reset_due && ((!results_under_way && waited_ms > 300) || waited_ms > 2000))
        machine_reset();
}
