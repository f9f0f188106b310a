/* The application: commands in, results out, downloads pulled piece by piece into the spare slot. One message leaves at a time, so each
 * step does at most one thing that ends in a message. */
#include "board.h"
#include "link.h"

#define BODY_MAX 24576u
#define PAYLOAD_MAX 16384u
#define NAME_MAX 64u
#define QUEUE 4u
#define PART 3072u
#define SILENCE_MS 200000u /* longer than the longest stall that a bench plays, and the platform cuts at 15 minutes */

static const char factory_configuration[] = "{\"sampling_rate\":300}";

struct command {
    uint32_t number, name_size, size;
    char name[NAME_MAX + 8];
    char payload[PAYLOAD_MAX + 8];
};

static char in[BODY_MAX + LINK_FRAME_EXTRA], out[BODY_MAX], reply[BODY_MAX], data[PAYLOAD_MAX];
static struct command queue[QUEUE];
static uint32_t queue_in, queue_out, done, reset_due_ms, utc_s;
static struct link board_link;
static int is_reset_due;

enum phase { NONE, ASK_BODY, AWAIT_BODY, ASK_PART, AWAIT_PART, FAILED, COMPLETE };
static struct {
    enum phase phase;
    uint32_t number, at, size, heard_ms;
    int is_firmware, is_announced, wants_stop;
    const char *problem;
    char name[NAME_MAX + 8], file[136], url[520];
    struct sha256 sha;
} download;

static size_t length(const char *text) {
    size_t size = 0;
    while (text[size])
        size++;
    return size;
}

static int is_equal(const char *left, const char *right) {
    while (*left && *left == *right)
        left++, right++;
    return *left == *right;
}

static void copy_text(char *to, const char *from) {
    while ((*to++ = *from++))
        ;
}

/* ---- results ---- */

static struct json_out begin_reply(int is_success, const char *message) {
    struct json_out text = {reply, reply + sizeof reply - 1, 0, 0};
    *text.at++ = '{';
    json_put_json(&text, "success", is_success ? "true" : "false", is_success ? 4 : 5);
    json_put_text(&text, "message", message, length(message));
    return text;
}

static void post_reply(uint32_t number, const char *name, struct json_out *text) {
    struct json_out message = link_message(&board_link);
    *text->at++ = '}';
    json_put_text(&message, "t", "result", 6);
    json_put_number(&message, "n", number);
    json_put_text(&message, "name", name, length(name));
    json_put_text(&message, "text", reply, (size_t)(text->at - reply));
    if (text->is_full || !link_post(&board_link, &message))
        console("a result did not fit\n");
}

static void reply_with(uint32_t number, const char *name, int is_success, const char *text) {
    struct json_out message = begin_reply(is_success, text);
    post_reply(number, name, &message);
}

/* ---- configuration ---- */

static struct json configuration(void) {
    uint32_t size;
    const char *stored = store_get(RECORD_CONFIGURATION, &size);
    return stored ? (struct json){stored, size} : (struct json){factory_configuration, sizeof factory_configuration - 1};
}

static void configure(const struct command *command, struct json value) {
    int is_kept = store_put(RECORD_CONFIGURATION, value.at, (uint32_t)value.size);
    console(is_kept ? "configuration stored\n" : "configuration: the flash did not take it\n");
    reply_with(command->number, command->name, is_kept, is_kept ? "stored" : "the flash did not take it");
}

/* The members of the configuration that `keys` names, in its order. */
static void put_wanted(struct json_out *text, struct json keys) {
    struct json all = configuration();
    char name[NAME_MAX + 8];
    text->at[-1] = '{';
    text->needs_comma = 0;
    for (const char *at = keys.at + 1; at < keys.at + keys.size - 1;) {
        const char *end = at + 1;
        while (*end != '"')
            end += *end == '\\' ? 2 : 1;
        size_t size = (size_t)(end - at - 1);
        if (size <= NAME_MAX) {
            for (size_t i = 0; i < size; i++)
                name[i] = at[1 + i];
            name[size] = 0;
            struct json wanted = json_member(all.at, all.size, name);
            if (wanted.size)
                json_put_json(text, name, wanted.at, wanted.size);
        }
        at = end + 2;
    }
    *text->at++ = '}';
}

static int is_list_of_texts(struct json keys) {
    const char *at = keys.at, *end = keys.at + keys.size - 1;
    if (keys.size < 2 || *at++ != '[')
        return 0;
    while (at < end) {
        if (*at++ != '"')
            return 0;
        while (*at != '"')
            at += *at == '\\' ? 2 : 1;
        if (*++at == ',')
            at++;
    }
    return 1;
}

static void report_configuration(const struct command *command, struct json value) {
    struct json keys = json_member(value.at, value.size, "keys"), all = configuration();
    struct json_out text = begin_reply(1, "as it is");
    if (keys.size && !is_list_of_texts(keys)) {
        reply_with(command->number, command->name, 0, "keys is no list of texts");
        return;
    }
    if (keys.size) {
        json_put_json(&text, "configuration", "{", 1);
        put_wanted(&text, keys);
    } else {
        json_put_json(&text, "configuration", all.at, all.size);
    }
    post_reply(command->number, command->name, &text);
}

/* ---- downloads ---- */

static void begin_download(const struct command *command, struct json value) {
    if (download.phase != NONE) {
        reply_with(command->number, command->name, 0, "another download is running");
        return;
    }
    download.file[0] = 0;
    json_text(json_member(value.at, value.size, "file_name"), download.file, sizeof download.file);
    if (json_text(json_member(value.at, value.size, "url"), download.url, sizeof download.url) <= 0) {
        reply_with(command->number, command->name, 0, "no url, or one of more than 512 bytes");
        return;
    }
    download.is_firmware = is_equal(command->name, "download_firmware");
    if (download.is_firmware)
        slot_begin();
    else
        flash_erase(LOGO, SLOT_SIZE);
    copy_text(download.name, command->name);
    sha256_start(&download.sha);
    download.number = command->number;
    download.at = download.size = 0;
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
    int is_kept;
    if (!json_number(json_member(message, size, "at"), &at) || at != download.at || count < 1)
        return; /* a copy of what is here already */
    is_kept = download.is_firmware ? slot_write(at, (uint8_t *)data, (uint32_t)count)
                                   : (uint32_t)count <= IMAGE_MAX - at && flash_program(LOGO + FLASH_SECTOR + at, data, (uint32_t)count);
    sha256_add(&download.sha, (uint8_t *)data, (size_t)count);
    download.at += (uint32_t)count;
    if (is_kept)
        download.phase = ASK_PART;
    else
        fail_download("a file that does not fit", 1);
}

static void end_came(const char *message, size_t size) {
    struct json complete = json_member(message, size, "complete");
    if (complete.size == 4 && complete.at[0] == 't' && download.at && (!download.is_announced || download.at == download.size))
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
    char hex[65];
    sha256_hex(&download.sha, hex);
    if (download.phase == COMPLETE && download.is_firmware)
        download.problem = slot_finish(download.size ? download.size : download.at);
    struct json_out text = begin_reply(!download.problem, download.problem ? download.problem : "installed");
    if (download.file[0])
        json_put_text(&text, "file_name", download.file, length(download.file));
    json_put_number(&text, "size", download.at);
    if (!download.problem)
        json_put_text(&text, "sha256", hex, 64);
    console(download.problem ? "download failed\n" : "download installed\n");
    post_reply(download.number, download.name, &text);
    download.phase = NONE;
}

static void post_about_download(const char *type) {
    struct json_out message = link_message(&board_link);
    json_put_text(&message, "t", type, length(type));
    json_put_number(&message, "n", download.number);
    if (is_equal(type, "fetch"))
        json_put_text(&message, "url", download.url, length(download.url));
    if (is_equal(type, "more")) {
        json_put_number(&message, "at", download.at);
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

static void reboot(const struct command *command) {
    console("rebooting\n");
    reply_with(command->number, command->name, 1, "rebooting");
    is_reset_due = 1;
    reset_due_ms = clock_ms() + 2000;
}

static void restore_factory(const struct command *command) {
    int is_kept = store_put(RECORD_CONFIGURATION, factory_configuration, sizeof factory_configuration - 1);
    console("factory configuration restored\n");
    reply_with(command->number, command->name, is_kept, is_kept ? "factory configuration restored" : "the flash did not take it");
}

static void execute(const struct command *command) {
    int32_t size = json_compact(command->payload, command->size, data, sizeof data);
    struct json value = {data, size < 0 ? 0 : (size_t)size};
    const char *name = command->name;
    if (!command->size)
        value = (struct json){"{}", 2}; /* reboot and its like need no data */
    if (!value.size || value.at[0] != '{')
        reply_with(command->number, name, 0, "the payload is no JSON object");
    else if (is_equal(name, "configuration"))
        configure(command, value);
    else if (is_equal(name, "send_configuration"))
        report_configuration(command, value);
    else if (is_equal(name, "download_firmware") || is_equal(name, "download_logo"))
        begin_download(command, value);
    else if (is_equal(name, "reboot"))
        reboot(command);
    else if (is_equal(name, "reset"))
        restore_factory(command);
    else
        reply_with(command->number, name, 0, "unknown command");
}

static int accept_command(const char *message, size_t size) {
    struct command *command = &queue[queue_in % QUEUE];
    int32_t name_size, payload_size;
    if (queue_in - queue_out == QUEUE)
        return 0;
    if (!json_number(json_member(message, size, "n"), &command->number))
        return 1; /* nobody could be told of it */
    name_size = json_text(json_member(message, size, "name"), command->name, sizeof command->name);
    if (name_size < 0)
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
    if (json_is(type, "time"))
        json_number(json_member(message, size, "utc_s"), &utc_s);
    else
        download_message(type, message, size);
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

void commands_start(void) {
    static char about[128];
    uint32_t size;
    struct json_out text = {about, about + sizeof about - 1, 0, 0};
    const uint32_t *stored = store_get(RECORD_DONE, &size);
    done = stored && size == sizeof done ? *stored : 0;
    *text.at++ = '{';
    json_put_text(&text, "model", MODEL, sizeof MODEL - 1);
    json_put_text(&text, "version", VERSION, sizeof VERSION - 1);
    json_put_text(&text, "slot", slot_name(slot_running), length(slot_name(slot_running)));
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

void commands_input(const char *bytes, size_t size) { link_input(&board_link, bytes, size); }

void commands_step(uint32_t now_ms) {
    if (is_reset_due && (link_is_idle(&board_link) || (int32_t)(now_ms - reset_due_ms) >= 0))
        machine_reset();
    if (link_is_idle(&board_link) && !is_reset_due && queue_in != queue_out)
        execute(&queue[queue_out++ % QUEUE]);
    else if (link_is_idle(&board_link) && !is_reset_due)
        continue_download();
    link_tick(&board_link, now_ms);
}
