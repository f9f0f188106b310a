/* The application: what each command does to the board, and the JSON of its result. Knows neither the link nor the network. */
#include "application.h"

static const char factory_configuration[] = "{\"sampling_rate\":300}";
static char reply[BODY_MAX], data[PAYLOAD_MAX];
static struct sha256 sha;
static uint32_t installed;
static struct offer offer;

size_t text_length(const char *text) {
    size_t size = 0;
    while (text[size])
        size++;
    return size;
}

int text_equal(const char *left, const char *right) {
    while (*left && *left == *right)
        left++, right++;
    return *left == *right;
}

/* ---- results ---- */

static struct json_out begin_reply(int is_success, const char *message) {
    struct json_out text = {reply, reply + sizeof reply - 1, 0, 0};
    *text.at++ = '{';
    json_put_json(&text, "success", is_success ? "true" : "false", is_success ? 4 : 5);
    json_put_text(&text, "message", message, text_length(message));
    return text;
}

static struct answer end_reply(struct json_out *text) {
    *text->at++ = '}';
    return (struct answer){reply, text->is_full ? 0 : (size_t)(text->at - reply)};
}

struct answer application_answer(int is_success, const char *message) {
    struct json_out text = begin_reply(is_success, message);
    return end_reply(&text);
}

/* ---- configuration ---- */

static struct json configuration(void) {
    uint32_t size;
    const char *stored = store_get(RECORD_CONFIGURATION, &size);
    return stored ? (struct json){stored, size} : (struct json){factory_configuration, sizeof factory_configuration - 1};
}

static struct answer configure(struct json value) {
    int is_kept = store_put(RECORD_CONFIGURATION, value.at, (uint32_t)value.size);
    console(is_kept ? "configuration stored\n" : "configuration: the flash did not take it\n");
    return application_answer(is_kept, is_kept ? "stored" : "the flash did not take it");
}

static struct answer restore_factory(void) {
    int is_kept = store_put(RECORD_CONFIGURATION, factory_configuration, sizeof factory_configuration - 1);
    console("factory configuration restored\n");
    return application_answer(is_kept, is_kept ? "factory configuration restored" : "the flash did not take it");
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

static struct answer report_configuration(struct json value) {
    struct json keys = json_member(value.at, value.size, "keys"), all = configuration();
    struct json_out text = begin_reply(1, "as it is");
    if (keys.size && !is_list_of_texts(keys))
        return application_answer(0, "keys is no list of texts");
    if (keys.size) {
        json_put_json(&text, "configuration", "{", 1);
        put_wanted(&text, keys);
    } else {
        json_put_json(&text, "configuration", all.at, all.size);
    }
    return end_reply(&text);
}

/* ---- installing ---- */

static enum outcome begin_download(const char *name, struct json value, struct answer *answer) {
    offer.is_firmware = text_equal(name, "download_firmware");
    offer.file[0] = 0;
    json_text(json_member(value.at, value.size, "file_name"), offer.file, sizeof offer.file);
    if (json_text(json_member(value.at, value.size, "url"), offer.url, sizeof offer.url) > 0)
        return DOWNLOAD;
    *answer = application_answer(0, "no url, or one of more than 512 bytes");
    return ANSWERED;
}

const struct offer *application_offer(void) { return &offer; }

void install_begin(void) {
    if (offer.is_firmware)
        slot_begin();
    else
        flash_erase(LOGO, SLOT_SIZE);
    sha256_start(&sha);
    installed = 0;
}

int install_add(const uint8_t *bytes, uint32_t size) {
    int fits = size <= IMAGE_MAX - installed;
    int is_kept = fits && (offer.is_firmware ? slot_write(installed, bytes, size)
                                             : flash_program(LOGO + FLASH_SECTOR + installed, bytes, size));
    if (is_kept) {
        sha256_add(&sha, bytes, size);
        installed += size;
    }
    return is_kept;
}

uint32_t install_size(void) { return installed; }

struct answer install_end(const char *problem) {
    char hex[65];
    sha256_hex(&sha, hex);
    if (!problem && offer.is_firmware)
        problem = slot_finish(installed);
    struct json_out text = begin_reply(!problem, problem ? problem : "installed");
    if (offer.file[0])
        json_put_text(&text, "file_name", offer.file, text_length(offer.file));
    json_put_number(&text, "size", installed);
    if (!problem)
        json_put_text(&text, "sha256", hex, 64);
    console(problem ? "download failed\n" : "download installed\n");
    return end_reply(&text);
}

/* ---- commands ---- */

enum outcome application_execute(const char *name, const char *payload, size_t payload_size, int is_downloading, struct answer *answer) {
    int32_t size = json_compact(payload, payload_size, data, sizeof data);
    struct json value = {data, size < 0 ? 0 : (size_t)size};
    if (!payload_size)
        value = (struct json){"{}", 2}; /* reboot and its like need no data */
    if (!value.size || value.at[0] != '{')
        *answer = application_answer(0, "the payload is no JSON object");
    else if (text_equal(name, "configuration"))
        *answer = configure(value);
    else if (text_equal(name, "send_configuration"))
        *answer = report_configuration(value);
    else if (text_equal(name, "reset"))
        *answer = restore_factory();
    else if (text_equal(name, "reboot")) {
        console("rebooting\n");
        *answer = application_answer(1, "rebooting");
        return REBOOT;
    } else if (!text_equal(name, "download_firmware") && !text_equal(name, "download_logo"))
        *answer = application_answer(0, "unknown command");
    else if (is_downloading)
        *answer = application_answer(0, "another download is running");
    else
        return begin_download(name, value, answer);
    return ANSWERED;
}
