/* The board that has no network: commands come over the link, downloads are pulled over it piece by piece. One message leaves at a time, so
 * each step does at most one thing that ends in a message. */
#include "application.h"

#define QUEUE 4u
#define PART (BODY_MAX < 8192u ? 1024u : 3072u)
#define SILENCE_MS 200000u /* longer than the longest stall that a bench plays, and the platform cuts at 15 minutes */

struct command {
    uint32_t number, size;
    char name[NAME_MAX + 8];
    char payload[PAYLOAD_MAX + 8];
};

static char in[BODY_MAX + LINK_FRAME_EXTRA], out[BODY_MAX], data[4 * PART];
static struct command queue[QUEUE];
static uint32_t queue_in, queue_out, done, reset_due_ms;
static struct link board_link;
static int is_reset_due;

enum phase { NONE, ASK_BODY, AWAIT_BODY, ASK_PART, AWAIT_PART, FAILED, COMPLETE };
static struct {
    enum phase phase;
    uint32_t number, size, heard_ms;
    int is_announced, wants_stop;
    const char *problem;
    char name[NAME_MAX + 8];
} download;

static void post_result(uint32_t number, const char *name, struct answer answer) {
    struct json_out message = link_message(&board_link);
    json_put_text(&message, "t", "result", 6);
    json_put_number(&message, "n", number);
    json_put_text(&message, "name", name, text_length(name));
    json_put_text(&message, "text", answer.text, answer.size);
    if (!answer.size || !link_post(&board_link, &message))
        console("a result did not fit\n");
}

/* ---- downloads ---- */

static void begin_download(const struct command *command) {
    size_t size = text_length(command->name);
    for (size_t i = 0; i <= size; i++)
        download.name[i] = command->name[i];
    install_begin();
    download.number = command->number;
    download.size = 0;
    download.problem = 0;
    download.wants_stop = 0;
    download.phase = ASK_BODY;
}

static void fail_download(const char *problem, int wants_stop) {
    download.problem = problem;
    download.wants_stop = wants_stop;
    download.phase = FAILED;
}

static void body_came(const char *message, size_t size) {
    uint32_t status = 0;
    json_number(json_member(message, size, "status"), &status);
    download.is_announced = json_number(json_member(message, size, "size"), &download.size);
    if (status != 200)
        fail_download(status ? "the platform refused the download" : "no response to the download", 1);
    else if (download.is_announced && (!download.size || download.size > IMAGE_MAX))
        fail_download("a file that does not fit", 1);
    else
        download.phase = ASK_PART;
}

static void part_came(const char *message, size_t size) {
    uint32_t at;
    int32_t count = json_base64(json_member(message, size, "bytes"), (uint8_t *)data, sizeof data);
    if (!json_number(json_member(message, size, "at"), &at) || at != install_size() || count < 1)
        return; /* a copy of what is here already */
    if (install_add((uint8_t *)data, (uint32_t)count))
        download.phase = ASK_PART;
    else
        fail_download("a file that does not fit", 1);
}

static void end_came(const char *message, size_t size) {
    struct json complete = json_member(message, size, "complete");
    if (complete.size == 4 && complete.at[0] == 't' && install_size() && (!download.is_announced || install_size() == download.size))
        download.phase = COMPLETE;
    else
        fail_download("the download ended early", 0);
}

static void download_message(struct json type, const char *message, size_t size) {
    uint32_t number;
    if (!json_number(json_member(message, size, "n"), &number) || number != download.number)
        return;
    download.heard_ms = clock_ms();
    if (download.phase == AWAIT_BODY && json_is(type, "body"))
        body_came(message, size);
    else if (download.phase == AWAIT_PART && json_is(type, "part"))
        part_came(message, size);
    else if ((download.phase == AWAIT_PART || download.phase == AWAIT_BODY) && json_is(type, "end"))
        end_came(message, size);
}

static void end_download(void) {
    post_result(download.number, download.name, install_end(download.problem));
    download.phase = NONE;
}

static void post_about_download(const char *type) {
    struct json_out message = link_message(&board_link);
    json_put_text(&message, "t", type, text_length(type));
    json_put_number(&message, "n", download.number);
    if (text_equal(type, "fetch"))
        json_put_text(&message, "url", application_offer()->url, text_length(application_offer()->url));
    if (text_equal(type, "more")) {
        json_put_number(&message, "at", install_size());
        json_put_number(&message, "len", PART);
    }
    link_post(&board_link, &message);
    download.heard_ms = clock_ms();
}

static void continue_download(void) {
    int is_waiting = download.phase == AWAIT_BODY || download.phase == AWAIT_PART;
    if (is_waiting && clock_ms() - download.heard_ms > SILENCE_MS) {
        fail_download("nothing came for too long", 1);
    } else if (download.phase == ASK_BODY) {
        download.phase = AWAIT_BODY;
        post_about_download("fetch");
    } else if (download.phase == ASK_PART) {
        download.phase = AWAIT_PART;
        post_about_download("more");
    } else if (download.phase == FAILED && download.wants_stop) {
        download.wants_stop = 0;
        post_about_download("stop");
    } else if (download.phase == FAILED || download.phase == COMPLETE) {
        end_download();
    }
}

/* ---- commands ---- */

static void execute(const struct command *command) {
    struct answer answer;
    enum outcome outcome = application_execute(command->name, command->payload, command->size, download.phase != NONE, &answer);
    if (outcome == DOWNLOAD) {
        begin_download(command);
        return;
    }
    post_result(command->number, command->name, answer);
    if (outcome == REBOOT) {
        is_reset_due = 1;
        reset_due_ms = clock_ms() + 2000;
    }
}

static int accept_command(const char *message, size_t size) {
    struct command *command = &queue[queue_in % QUEUE];
    int32_t payload_size;
    if (queue_in - queue_out == QUEUE)
        return 0;
    if (!json_number(json_member(message, size, "n"), &command->number))
        return 1; /* nobody could be told of it */
    if (json_text(json_member(message, size, "name"), command->name, sizeof command->name) < 0)
        command->name[0] = 0;
    payload_size = json_text(json_member(message, size, "text"), command->payload, sizeof command->payload);
    if (payload_size < 0)
        payload_size = json_base64(json_member(message, size, "bytes"), (uint8_t *)command->payload, sizeof command->payload);
    command->size = payload_size < 0 ? 1 : (uint32_t)payload_size;
    if (payload_size < 0)
        command->payload[0] = '!'; /* no JSON: refused as such */
    done = command->number;
    if (!store_put(RECORD_DONE, &done, sizeof done))
        console("the flash did not take a command number\n");
    queue_in++;
    return 1;
}

static int accept_message(void *context, const char *message, size_t size) {
    struct json type = json_member(message, size, "t");
    (void)context;
    if (json_is(type, "command"))
        return is_reset_due ? 0 : accept_command(message, size);
    download_message(type, message, size); /* the time is not used here */
    return 1;
}

static void write_bytes(void *context, const char *bytes, size_t size) {
    (void)context;
    uart_write(bytes, size);
}

static uint32_t last_done(void *context) {
    (void)context;
    return done;
}

void board_start(void) {
    static char about[128];
    uint32_t size;
    struct json_out text = {about, about + sizeof about - 1, 0, 0};
    const uint32_t *stored = store_get(RECORD_DONE, &size);
    done = stored && size == sizeof done ? *stored : 0;
    *text.at++ = '{';
    json_put_text(&text, "model", MODEL, sizeof MODEL - 1);
    json_put_text(&text, "version", VERSION, sizeof VERSION - 1);
    json_put_text(&text, "slot", slot_name(slot_running), text_length(slot_name(slot_running)));
    *text.at++ = '}';
    board_link.about = about;
    board_link.in = in;
    board_link.in_size = sizeof in;
    board_link.out = out;
    board_link.out_size = sizeof out;
    board_link.write = write_bytes;
    board_link.accept = accept_message;
    board_link.done = last_done;
    link_boot(&board_link);
}

void board_input(const char *bytes, size_t size) { link_input(&board_link, bytes, size); }

void board_step(uint32_t now_ms) {
    if (is_reset_due && (link_is_idle(&board_link) || (int32_t)(now_ms - reset_due_ms) >= 0))
        machine_reset();
    if (link_is_idle(&board_link) && !is_reset_due && queue_in != queue_out)
        execute(&queue[queue_out++ % QUEUE]);
    else if (link_is_idle(&board_link) && !is_reset_due)
        continue_download();
    link_tick(&board_link, now_ms);
}
