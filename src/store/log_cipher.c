#include "store/log_cipher.h"

#include <string.h>

#include <openssl/crypto.h>

#include "base/log.h"
#include "base/mem.h"
#include "store/key_file.h"
#include "store/log_private.h"

/* A new key of the operator's on its way to the log thread. */
typedef struct KeyMail {
    Mail mail; /* first */
    Log *log;
    size_t len;
    char key[];
} KeyMail;

/* --- keys --- */

static Status deny(const Log *log, const char *why) {
    LOG_ERR("store not opened: it is encrypted", "dir=%s why=%s", log->dir, why);
    return ERR_DENIED;
}

static Status unwrap(Log *log) {
    const CipherOptions *options = &log->options.cipher;
    LogCipher *state = &log->cipher;
    if (options->key.len == 0)
        return deny(log, "no key is given");
    Status status = cipher_unwrap(&log->super.key, options->key, &state->cipher);
    if (status != ERR_DENIED)
        return status;
    if (options->key_before.len == 0)
        return deny(log, "the key is not the one it was encrypted with");
    status = cipher_unwrap(&log->super.key, options->key_before, &state->cipher);
    if (status == ERR_DENIED)
        return deny(log, "neither the key nor the previous key is the one it was encrypted with");
    state->is_key_changed = status == OK;
    return status;
}

Status log_cipher_open(Log *log) {
    const CipherOptions *options = &log->options.cipher;
    LogCipher *state = &log->cipher;
    if (log->is_super_lost && key_file_read(log->dir, &log->super.key) != OK)
        log->super.key = (WrappedKey){0};
    bool is_encrypted = log->super.key.kind != CIPHER_NONE;
    if (!is_encrypted && options->key.len == 0)
        return OK;
    Status status = is_encrypted ? unwrap(log) : cipher_new(options->kind, &state->cipher);
    if (status != OK)
        return status;
    state->is_key_changed |= !is_encrypted || cipher_kind(state->cipher) != options->kind;
    cipher_set_kind(state->cipher, options->kind);
    return state->is_key_changed ? cipher_wrap(state->cipher, options->key, &log->super.key) : OK;
}

Status log_cipher_save_key(const Log *log) {
    return log->cipher.cipher ? key_file_write(log->dir, &log->super.key) : OK;
}

static void key_mail_free(KeyMail *mail) {
    if (mail == NULL)
        return;
    OPENSSL_cleanse(mail->key, mail->len);
    mem_free(mail);
}

void log_cipher_close(Log *log) {
    LogCipher *state = &log->cipher;
    key_mail_free(state->key_next);
    cipher_stream_free(state->stream);
    cipher_free(state->cipher);
    *state = (LogCipher){0};
}

static void on_key(Worker *here, Mail *mail) {
    (void)here;
    KeyMail *news = CONTAINER_OF(mail, KeyMail, mail);
    LogCipher *state = &news->log->cipher;
    key_mail_free(state->key_next);
    state->key_next = news;
}

void log_set_key(Log *log, Slice key) {
    KeyMail *news = mem_zalloc(sizeof *news + key.len);
    ASSERT(log->cipher.cipher != NULL && key.len > 0);
    news->mail.arrive = on_key;
    news->log = log;
    news->len = key.len;
    memcpy(news->key, key.ptr, key.len);
    mailbox_post(log->box, &news->mail);
}

static Status rewrap(Log *log, Slice key) {
    WrappedKey before = log->super.key;
    Status status = cipher_wrap(log->cipher.cipher, key, &log->super.key);
    if (status == OK)
        status = super_write(log->dir, &log->super, false);
    if (status != OK) {
        log->super.key = before;
        return status;
    }
    status = super_write(log->dir, &log->super, false);
    return status == OK ? log_cipher_save_key(log) : status;
}

void log_cipher_consider(Log *log) {
    KeyMail *news = log->cipher.key_next;
    if (news == NULL || log->is_resuming) /* SUPER is lent to the helper */
        return;
    Status status = rewrap(log, slice_from(news->key, news->len));
    if (status == OK)
        LOG_INFO("Encryption key changed", "dir=%s", log->dir);
    else
        LOG_ERR(
            "encryption key not changed: the previous one may still be needed at the next start",
            "dir=%s why=%s", log->dir, status_text(status));
    log->cipher.key_next = NULL;
    key_mail_free(news);
}

const Cipher *log_cipher(const Log *log) {
    return log->cipher.cipher;
}

/* --- writing --- */

Status log_cipher_begin_segment(Log *log, uint64_t segment) {
    LogCipher *state = &log->cipher;
    CipherHead head;
    CipherStream *stream;
    if (state->cipher == NULL)
        return OK;
    Status status = cipher_head_new(state->cipher, segment, &head);
    if (status == OK)
        status = cipher_stream_open(state->cipher, CIPHER_LOG, &head, &stream);
    if (status != OK)
        return status;
    cipher_stream_free(state->stream);
    state->stream = stream;
    state->head = head;
    state->end = 0;
    return OK;
}

bool log_cipher_may_write(const Log *log) {
    const LogCipher *state = &log->cipher;
    return state->cipher == NULL || (state->stream != NULL && log->offset >= state->end);
}

uint64_t log_cipher_overhead(const Log *log) {
    return log->cipher.cipher ? 2 * CIPHER_HEAD_BYTES : 0;
}

void log_cipher_copy(Log *log, uint64_t at, const char *from, size_t len) {
    if (log->cipher.cipher == NULL)
        memcpy(log->block + at, from, len);
    else
        cipher_stream_apply(log->cipher.stream, log->offset + at, log->block + at, from, len);
}

void log_cipher_end_body(Log *log, BlockHead *head) {
    LogCipher *state = &log->cipher;
    if (state->cipher == NULL)
        return;
    ASSERT(head->offset >= state->end);
    head->version = BLOCK_VERSION_ENCRYPTED;
    char *body = log->block + BLOCK_HEAD_BYTES;
    memcpy(body, &state->head, sizeof state->head);
    memcpy(body + head->body_len - CIPHER_HEAD_BYTES, &state->head, sizeof state->head);
    state->end = head->offset + block_bytes(head->body_len);
}

/* --- reading --- */

static bool is_encrypted_body(const BlockHead *head) {
    return head->version == BLOCK_VERSION_ENCRYPTED && head->body_len >= 2 * CIPHER_HEAD_BYTES;
}

Status block_find_cipher(const BlockHead *head, const char *block, CipherHead *out_head) {
    const char *body = block + BLOCK_HEAD_BYTES;
    if (!is_encrypted_body(head))
        return ERR_NOT_FOUND;
    bool is_found =
        cipher_head_parse(body, head->segment, out_head) ||
        cipher_head_parse(body + head->body_len - CIPHER_HEAD_BYTES, head->segment, out_head);
    return is_found ? OK : ERR_CORRUPT;
}

typedef struct Search {
    const Log *log;
    DiskFile *file;
    uint64_t file_bytes, segment;
    char *pages;     /* aligned; room for two */
    bool has_failed; /* a page could not be read */
} Search;

static bool read_page(Search *search, uint64_t at, char *to) {
    if (at + BLOCK_ALIGN > search->file_bytes)
        return false;
    bool is_read = disk_read(search->file, to, BLOCK_ALIGN, at) == OK;
    search->has_failed |= !is_read;
    return is_read;
}

/* Of a block that is known by its head: the CipherHead behind its records. */
static bool read_last_head(Search *search, const BlockHead *head, CipherHead *out_head) {
    uint64_t at = head->offset + BLOCK_HEAD_BYTES + head->body_len - CIPHER_HEAD_BYTES;
    uint64_t page = at & ~(uint64_t)(BLOCK_ALIGN - 1);
    char *to = search->pages + BLOCK_ALIGN;
    if (!read_page(search, page, to))
        return false;
    /* It is aligned to 8 bytes and may reach into the next page. */
    char bytes[CIPHER_HEAD_BYTES];
    size_t here =
        BLOCK_ALIGN - (at - page) < sizeof bytes ? BLOCK_ALIGN - (at - page) : sizeof bytes;
    memcpy(bytes, to + (at - page), here);
    if (here < sizeof bytes) {
        if (!read_page(search, page + BLOCK_ALIGN, to))
            return false;
        memcpy(bytes + here, to, sizeof bytes - here);
    }
    return cipher_head_parse(bytes, search->segment, out_head);
}

static bool is_of_segment(const Search *search, const BlockHead *head) {
    return head->segment == search->segment && head->offset < search->file_bytes &&
           block_bytes(head->body_len) <= search->file_bytes - head->offset &&
           memcmp(head->store_id, search->log->super.store_id, STORE_ID_BYTES) == 0;
}

/* ERR_AGAIN: this page does not tell. */
static Status look_at_page(Search *search, uint64_t at, CipherHead *out_head) {
    BlockHead head;
    const char *page = search->pages;
    bool is_start = block_head_parse(page, &head) && head.offset == at;
    if (!is_start && !block_head_parse(page + BLOCK_ALIGN - BLOCK_HEAD_BYTES, &head))
        return ERR_AGAIN;
    if (!is_of_segment(search, &head))
        return ERR_AGAIN;
    if (head.version != BLOCK_VERSION_ENCRYPTED)
        return ERR_NOT_FOUND;
    if (!is_encrypted_body(&head))
        return ERR_AGAIN;
    if ((is_start && cipher_head_parse(page + BLOCK_HEAD_BYTES, search->segment, out_head)) ||
        read_last_head(search, &head, out_head))
        return OK;
    return ERR_AGAIN;
}

Status log_cipher_find(const Log *log, DiskFile *file, uint64_t file_bytes, uint64_t segment,
                       CipherHead *out_head) {
    if (log->cipher.cipher == NULL)
        return ERR_NOT_FOUND;
    char *memory = mem_alloc(3 * BLOCK_ALIGN);
    Search search = {.log = log,
                     .file = file,
                     .file_bytes = file_bytes,
                     .segment = segment,
                     .pages = memory + (-(uintptr_t)memory & (BLOCK_ALIGN - 1))};
    Status status = ERR_AGAIN;
    for (uint64_t at = 0; status == ERR_AGAIN && at + BLOCK_ALIGN <= file_bytes; at += BLOCK_ALIGN)
        if (read_page(&search, at, search.pages))
            status = look_at_page(&search, at, out_head);
    mem_free(memory);
    if (status != ERR_AGAIN)
        return status;
    return search.has_failed ? ERR_IO : ERR_CORRUPT;
}

Status log_cipher_decrypt(const Log *log, const CipherHead *head, uint64_t offset, char *bytes,
                          size_t len) {
    CipherStream *stream;
    Status status = cipher_stream_open(log->cipher.cipher, CIPHER_LOG, head, &stream);
    if (status != OK)
        return status;
    cipher_stream_apply(stream, offset, bytes, bytes, len);
    cipher_stream_free(stream);
    return OK;
}
