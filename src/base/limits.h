/* Limits: every queue, loop and size that is not an option has its name here, with what happens
 * there. */
#pragma once

enum {
    /* Control line of a client: over it, -ERR 'maximum control line exceeded' and close. */
    LIMIT_CONTROL_LINE_BYTES = 4096,

    /* Largest max_payload that may be configured (clients of any size are refused above it). */
    LIMIT_PAYLOAD_BYTES = 64 * 1024 * 1024,

    /* Header block of a stored message: over it, API error 10097. */
    LIMIT_STORED_HEADER_BYTES = 65535,

    /* A stream or consumer name: over it, API error 10052. */
    LIMIT_NAME_BYTES = 255,

    /* Consumer, stream description: over it, API error. */
    LIMIT_DESCRIPTION_BYTES = 4096,

    /* Metadata of a stream or consumer, keys and values: over it, API error. */
    LIMIT_METADATA_BYTES = 128 * 1024,

    /* What a worker reads from one socket in one turn; the rest waits for the next turn. */
    LIMIT_READ_BYTES_PER_TURN = 256 * 1024,

    /* Messages that one consumer may send in one turn; the rest goes on the ready list. */
    LIMIT_PUMP_MESSAGES_PER_TURN = 512,

    /* Bytes that one consumer may send in one turn; the rest goes on the ready list. */
    LIMIT_PUMP_BYTES_PER_TURN = 1024 * 1024,

    /* Names in one page of STREAM.NAMES, CONSUMER.NAMES; infos in LIST; subjects in STREAM.INFO. */
    LIMIT_API_NAMES_PER_PAGE = 1024,
    LIMIT_API_INFOS_PER_PAGE = 256,
    LIMIT_API_SUBJECTS_PER_PAGE = 100000,

    /* Workers: the option `workers` is refused above it. */
    LIMIT_WORKERS = 64,
};
