/* HTTP/1.1 over lwIP's TCP: one GET with the raw token, its status, its Content-Length, its body. Everything else is refused. */
#include "request.h"
#include "application.h"
#include "lwip/ip4_addr.h"
#include "lwip/tcp.h"

#define HEAD_MAX 1024u
#define SILENCE_MS 200000u /* longer than the longest stall that a bench plays */

static struct {
    struct tcp_pcb *pcb;
    void (*ended)(const char *problem);
    char text[1024], head[HEAD_MAX + 1];
    size_t text_size, head_size;
    uint32_t announced, heard_ms;
    int is_running, is_in_body, is_announced;
} request;

static void end(const char *problem) {
    struct tcp_pcb *pcb = request.pcb;
    request.pcb = 0;
    if (pcb) {
        tcp_arg(pcb, 0);
        tcp_recv(pcb, 0);
        tcp_err(pcb, 0);
        if (tcp_close(pcb) != ERR_OK)
            tcp_abort(pcb);
    }
    if (!request.is_running)
        return;
    request.is_running = 0;
    request.ended(problem);
}

static int is_header(const char *at, const char *name) { /* name in lower case, with its colon */
    for (; *name; at++, name++)
        if ((*at >= 'A' && *at <= 'Z' ? *at + 32 : *at) != *name)
            return 0;
    return 1;
}

/* 0, or why this response is no file. */
static const char *judge_head(void) {
    if (!is_header(request.head, "http/1.") || request.head_size < 12)
        return "no HTTP response";
    if (request.head[9] != '2' || request.head[10] != '0' || request.head[11] != '0')
        return "the platform refused the download";
    for (const char *at = request.head; *at; at++) {
        if (at[0] != '\n')
            continue;
        if (is_header(at + 1, "transfer-encoding:"))
            return "a chunked body, which this board does not read";
        if (is_header(at + 1, "content-length:")) {
            request.is_announced = 1;
            for (at += 16; *at == ' '; at++)
                ;
            for (request.announced = 0; *at >= '0' && *at <= '9'; at++)
                request.announced = request.announced * 10 + (uint32_t)(*at - '0');
            at--;
        }
    }
    if (!request.is_announced)
        return "no Content-Length";
    return request.announced && request.announced <= IMAGE_MAX ? 0 : "a file that does not fit";
}

static const char *take_body(const uint8_t *bytes, uint32_t size) {
    uint32_t missing = request.announced - install_size();
    return install_add(bytes, size < missing ? size : missing) ? 0 : "a file that does not fit";
}

static const char *take(const uint8_t *bytes, uint32_t size) {
    while (size && !request.is_in_body) {
        if (request.head_size == HEAD_MAX)
            return "a response head that does not fit";
        request.head[request.head_size++] = (char)*bytes++;
        request.head[request.head_size] = 0;
        size--;
        const char *last = request.head + request.head_size - 4;
        if (request.head_size < 4 || last[0] != '\r' || last[1] != '\n' || last[2] != '\r' || last[3] != '\n')
            continue;
        const char *problem = judge_head();
        if (problem)
            return problem;
        request.is_in_body = 1;
    }
    return size ? take_body(bytes, size) : 0;
}

static err_t received(void *argument, struct tcp_pcb *pcb, struct pbuf *packet, err_t error) {
    const char *problem = 0;
    (void)argument;
    (void)error;
    if (!packet) {
        end("the download ended early");
        return ERR_OK;
    }
    request.heard_ms = clock_ms();
    for (struct pbuf *part = packet; part && !problem; part = part->next)
        problem = take(part->payload, part->len);
    tcp_recved(pcb, packet->tot_len);
    pbuf_free(packet);
    if (problem)
        end(problem);
    else if (request.is_in_body && install_size() == request.announced)
        end(0);
    return ERR_OK;
}

static err_t connected(void *argument, struct tcp_pcb *pcb, err_t error) {
    (void)argument;
    (void)error;
    tcp_write(pcb, request.text, (u16_t)request.text_size, TCP_WRITE_FLAG_COPY);
    return tcp_output(pcb);
}

static void failed(void *argument, err_t error) {
    (void)argument;
    (void)error;
    request.pcb = 0; /* lwIP has freed it */
    end("the connection was lost");
}

static void add(const char *text, size_t size) {
    for (size_t i = 0; i < size && request.text_size < sizeof request.text; i++)
        request.text[request.text_size++] = text[i];
}

static void write_request(const char *host, size_t host_size, const char *path, const char *token) {
    request.text_size = 0;
    add("GET ", 4);
    add(path, text_length(path));
    add(" HTTP/1.1\r\nHost: ", 17);
    add(host, host_size);
    add("\r\nAuthorization: Basic ", 23);
    add(token, text_length(token));
    add("\r\nConnection: close\r\n\r\n", 23);
}

const char *request_start(const char *url, const char *token, void (*ended)(const char *problem)) {
    char name[40];
    size_t host_size = 0, name_size = 0;
    uint32_t port = 0;
    ip_addr_t address;
    const char *host = url + 7;
    request.ended = ended;
    if (!is_header(url, "http://"))
        return "no http:// address";
    while (host[host_size] && host[host_size] != '/')
        host_size++;
    while (name_size < host_size && name_size < sizeof name - 1 && host[name_size] != ':') {
        name[name_size] = host[name_size];
        name_size++;
    }
    name[name_size] = 0;
    for (size_t i = name_size + 1; i < host_size; i++)
        port = port * 10 + (uint32_t)(host[i] - '0');
    if (!ip4addr_aton(name, &address))
        return "an address with a name, which this board does not resolve";
    write_request(host, host_size, host[host_size] ? host + host_size : "/", token);
    request.head_size = 0;
    request.is_in_body = request.is_announced = 0;
    request.heard_ms = clock_ms();
    request.pcb = tcp_new();
    if (!request.pcb)
        return "no memory for a connection";
    request.is_running = 1;
    tcp_recv(request.pcb, received);
    tcp_err(request.pcb, failed);
    if (tcp_connect(request.pcb, &address, (u16_t)(port ? port : 80), connected) != ERR_OK)
        failed(0, ERR_CONN);
    return 0;
}

int request_is_running(void) { return request.is_running; }

void request_step(uint32_t now_ms) {
    if (request.is_running && now_ms - request.heard_ms > SILENCE_MS)
        end("nothing came for too long");
}
