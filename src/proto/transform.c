#include "proto/transform.h"

#include "base/assert.h"
#include "base/mem.h"
#include "base/vec.h"
#include "proto/subject.h"

typedef enum OpKind {
    OP_TEXT, /* the token itself */
    OP_TAIL, /* what ">" of the source stands for */
    OP_WILDCARD,
    OP_PARTITION,
    OP_SPLIT,
    OP_SPLIT_FROM_LEFT,
    OP_SPLIT_FROM_RIGHT,
    OP_SLICE_FROM_LEFT,
    OP_SLICE_FROM_RIGHT,
    OP_LEFT,
    OP_RIGHT,
    OP_RANDOM,
} OpKind;

/* One token of the destination. */
typedef struct Op {
    OpKind kind;
    int32_t number;
    Slice text;           /* OP_TEXT, separator of OP_SPLIT; inside Transform.dest */
    VEC(uint32_t) places; /* wildcard indexes while parsing, then tokens of the source */
} Op;

struct Transform {
    char *src_text, *dest_text;
    Slice src, dest;
    size_t src_tokens;
    VEC(Op) ops;
};

enum { TOKENS_AT_HAND = 24 };

/* The tokens of a subject; those behind the first few are searched when needed. */
typedef struct Tokens {
    Slice subject;
    size_t count;
    Slice at[TOKENS_AT_HAND];
} Tokens;

static const char INVALID_ARGUMENT[] = "function argument is invalid or in the wrong format";
static const char NOT_ENOUGH_ARGUMENTS[] = "not enough arguments passed to the function";
static const char TOO_MANY_ARGUMENTS[] = "too many arguments passed to the function";
static const char UNKNOWN_FUNCTION[] = "unknown function";
static const char OUT_OF_RANGE[] = "wildcard index out of range";

static Status parse(Transform *transform, bool is_strict, Buf *out_error);
static Status parse_op(Slice token, Op *op, Buf *out_error);
static void apply_op(const Transform *transform, const Op *op, const Tokens *tokens, Rand *rand,
                     Buf *out);

Status transform_new(Slice src, Slice dest, bool is_strict, Buf *out_error,
                     Transform **out_transform) {
    Transform *transform = mem_zalloc(sizeof *transform);
    if (src.len == 0)
        src = LIT(">");
    transform->src_text = mem_copy(src.ptr, src.len);
    transform->dest_text = mem_copy(dest.ptr, dest.len);
    transform->src = slice_from(transform->src_text, src.len);
    transform->dest = slice_from(transform->dest_text, dest.len);
    transform->src_tokens = subject_token_count(src);

    Status status = parse(transform, is_strict, out_error);
    if (status == OK)
        *out_transform = transform;
    else
        transform_free(transform);
    return status;
}

void transform_free(Transform *transform) {
    if (transform == NULL)
        return;
    for (size_t i = 0; i < transform->ops.len; i++)
        vec_done(&transform->ops.at[i].places);
    vec_done(&transform->ops);
    mem_free(transform->src_text);
    mem_free(transform->dest_text);
    mem_free(transform);
}

bool transform_apply(const Transform *transform, Slice subject, Rand *rand, Buf *out) {
    if (!subject_matches(transform->src, subject))
        return false;
    if (transform->dest.len == 0) {
        buf_append(out, subject);
        return true;
    }

    Tokens tokens = {.subject = subject};
    Slice rest = subject;
    while (tokens.count < TOKENS_AT_HAND && slice_cut(&rest, '.', &tokens.at[tokens.count]))
        tokens.count++;
    for (size_t i = 0; i < transform->ops.len; i++) {
        if (i)
            buf_append_char(out, '.');
        apply_op(transform, &transform->ops.at[i], &tokens, rand, out);
    }
    return true;
}

/* Parsing. */

static Status refuse(Buf *out_error, const char *what, Slice token) {
    if (out_error) {
        buf_append_lit(out_error, "invalid mapping destination: ");
        buf_append(out_error, slice_of_text(what));
        if (token.len) {
            buf_append_lit(out_error, " in ");
            buf_append(out_error, token);
        }
    }
    return ERR_SYNTAX;
}

static bool has_blank(Slice token) {
    for (size_t i = 0; i < token.len; i++)
        if (token.ptr[i] == ' ' || (token.ptr[i] >= '\t' && token.ptr[i] <= '\r'))
            return true;
    return false;
}

/* "{{}}" is text. */
static bool looks_like_function(Slice token) {
    return token.len > 4 && slice_starts_with(token, LIT("{{")) &&
           slice_ends_with(token, LIT("}}"));
}

static Status check_dest(Transform *transform, Buf *out_error) {
    Slice rest = transform->dest, token;
    bool has_tail = false;

    while (slice_cut(&rest, '.', &token)) {
        if (token.len == 0 || has_tail)
            return refuse(out_error, "invalid transform", token);
        Op op = {0};
        if (!looks_like_function(token) && has_blank(token))
            return refuse(out_error, "invalid transform", (Slice){0});
        Status status = parse_op(token, &op, out_error);
        vec_push(&transform->ops, op);
        if (status != OK)
            return status;
        has_tail = op.kind == OP_TAIL;
    }
    return OK;
}

/* Wildcards of both sides must fit: no "*" in dest, ">" in both or in none. */
static bool sides_fit(const Transform *transform) {
    if (!subject_is_valid(transform->src))
        return false;
    for (size_t i = 0; i < transform->ops.len; i++)
        if (transform->ops.at[i].kind == OP_TEXT &&
            slice_equal(transform->ops.at[i].text, LIT("*")))
            return false;
    bool src_has_tail =
        slice_equal(subject_token(transform->src, transform->src_tokens - 1), LIT(">"));
    return src_has_tail == (transform->ops.at[transform->ops.len - 1].kind == OP_TAIL);
}

/* Turns the wildcard numbers of an op into positions of source tokens; number 0 stands for the
 * first token, as in the servers that clients know. */
static Status resolve(Op *op, Slice token, const uint32_t *stars, size_t star_count,
                      bool has_wildcard, Buf *out_error) {
    if (!has_wildcard && op->kind != OP_TEXT && op->kind != OP_RANDOM &&
        !(op->kind == OP_PARTITION && op->places.len == 0))
        return refuse(out_error, OUT_OF_RANGE, token);
    for (size_t i = 0; i < op->places.len; i++) {
        uint32_t number = op->places.at[i];
        if (number > star_count) {
            Status status = refuse(out_error, OUT_OF_RANGE, token);
            if (out_error)
                buf_printf(out_error, ": [%u]", number);
            return status;
        }
        op->places.at[i] = number ? stars[number - 1] : 0;
    }
    return OK;
}

static Status resolve_all(Transform *transform, bool is_strict, Buf *out_error) {
    VEC(uint32_t) stars = {0};
    Slice rest = transform->src, token;
    for (uint32_t i = 0; slice_cut(&rest, '.', &token); i++)
        if (slice_equal(token, LIT("*")))
            vec_push(&stars, i);

    Status status = OK;
    size_t used = 0;
    bool has_wildcard = subject_has_wildcard(transform->src);
    rest = transform->dest;
    for (size_t i = 0; status == OK && i < transform->ops.len && slice_cut(&rest, '.', &token);
         i++) {
        Op *op = &transform->ops.at[i];
        if (is_strict && op->kind > OP_WILDCARD)
            status = refuse(
                out_error,
                "the only mapping function allowed for import transforms is {{Wildcard()}}", token);
        else
            status = resolve(op, token, stars.at, stars.len, has_wildcard, out_error);
        used += op->places.len;
    }
    if (status == OK && is_strict && used < stars.len)
        status = refuse(out_error, "not using all of the token wildcard(s)", transform->dest);
    vec_done(&stars);
    return status;
}

static Status parse(Transform *transform, bool is_strict, Buf *out_error) {
    Status status = transform->dest.len ? check_dest(transform, out_error) : OK;
    if (status != OK)
        return status;
    if (transform->dest.len ? !sides_fit(transform) : !subject_is_valid(transform->src)) {
        if (out_error)
            buf_append_lit(out_error, "invalid subject");
        return ERR_SYNTAX;
    }
    return resolve_all(transform, is_strict, out_error);
}

static bool parse_number(Slice text, int32_t *out_number) {
    int64_t number;
    if (slice_parse_i64(slice_trim(text), &number) != OK || number > INT32_MAX ||
        number < INT32_MIN)
        return false;
    *out_number = (int32_t)number;
    return true;
}

static bool parse_place(Slice text, Op *op) {
    int32_t number;
    if (!parse_number(text, &number))
        return false;
    vec_push(&op->places, number < 0 ? 0 : (uint32_t)number);
    return true;
}

/* "splitFromLeft" with a small or big letter where a word begins. */
static bool is_name(Slice name, const char *want) {
    size_t i = 0;
    for (; i < name.len && want[i]; i++) {
        char c = name.ptr[i];
        bool is_word_start = i == 0 || (want[i] >= 'A' && want[i] <= 'Z');
        if (c != want[i] && !(is_word_start && (c ^ 0x20) == want[i]))
            return false;
    }
    return i == name.len && want[i] == '\0';
}

enum { ARGUMENTS_MAX = 64 };

static const char *parse_arguments(Op *op, const Slice *args, size_t count) {
    switch (op->kind) {
    case OP_WILDCARD:
        if (count > 1)
            return TOO_MANY_ARGUMENTS;
        if (args[0].len == 0)
            return NOT_ENOUGH_ARGUMENTS;
        return parse_place(args[0], op) ? NULL : INVALID_ARGUMENT;
    case OP_PARTITION:
        if (!parse_number(args[0], &op->number))
            return INVALID_ARGUMENT;
        for (size_t i = 1; i < count; i++)
            if (!parse_place(args[i], op))
                return INVALID_ARGUMENT;
        return NULL;
    case OP_RANDOM:
        if (count != 1)
            return NOT_ENOUGH_ARGUMENTS;
        return parse_number(args[0], &op->number) ? NULL : INVALID_ARGUMENT;
    default:
        if (count != 2)
            return count < 2 ? NOT_ENOUGH_ARGUMENTS : TOO_MANY_ARGUMENTS;
        if (!parse_place(args[0], op))
            return INVALID_ARGUMENT;
        if (op->kind == OP_SPLIT) {
            op->text = args[1];
            return has_blank(args[1]) ? INVALID_ARGUMENT : NULL;
        }
        return parse_number(args[1], &op->number) ? NULL : INVALID_ARGUMENT;
    }
}

static Status parse_function(Slice token, Op *op, Buf *out_error) {
    static const struct {
        const char *name;
        OpKind kind;
    } functions[] = {
        {"wildcard", OP_WILDCARD},
        {"partition", OP_PARTITION},
        {"split", OP_SPLIT},
        {"splitFromLeft", OP_SPLIT_FROM_LEFT},
        {"splitFromRight", OP_SPLIT_FROM_RIGHT},
        {"sliceFromLeft", OP_SLICE_FROM_LEFT},
        {"sliceFromRight", OP_SLICE_FROM_RIGHT},
        {"left", OP_LEFT},
        {"right", OP_RIGHT},
        {"random", OP_RANDOM},
    };
    Slice call = slice_trim(slice_from(token.ptr + 2, token.len - 4));
    size_t open = slice_find(call, '(');
    if (open == call.len || !slice_ends_with(call, LIT(")")))
        return refuse(out_error, UNKNOWN_FUNCTION, token);

    Slice name = slice_trim(slice_first(call, open)), args[ARGUMENTS_MAX];
    Slice rest = slice_trim(slice_from(call.ptr + open + 1, call.len - open - 2));
    if (rest.ptr == NULL)
        rest = LIT("");
    size_t count = 0;
    for (; slice_cut(&rest, ',', &args[count]); count++) {
        if (count + 1 == ARGUMENTS_MAX)
            return refuse(out_error, TOO_MANY_ARGUMENTS, token);
        args[count] = slice_trim(args[count]);
    }
    for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++) {
        if (!is_name(name, functions[i].name))
            continue;
        op->kind = functions[i].kind;
        const char *error = parse_arguments(op, args, count);
        return error ? refuse(out_error, error, token) : OK;
    }
    return refuse(out_error, UNKNOWN_FUNCTION, token);
}

static Status parse_op(Slice token, Op *op, Buf *out_error) {
    op->kind = OP_TEXT;
    op->text = token;
    if (slice_equal(token, LIT(">")))
        op->kind = OP_TAIL;
    else if (looks_like_function(token))
        return parse_function(token, op, out_error);
    else if (token.len > 1 && token.ptr[0] == '$' && !has_blank(token) &&
             parse_place(slice_from_at(token, 1), op))
        op->kind = OP_WILDCARD;
    return OK;
}

/* Applying. */

static Slice token_at(const Tokens *tokens, size_t i) {
    return i < tokens->count ? tokens->at[i] : subject_token(tokens->subject, i);
}

static Slice tail_from(Slice subject, size_t skip) {
    Slice token;
    while (skip-- && slice_cut(&subject, '.', &token)) {
    }
    return subject;
}

static uint32_t fnv1a(uint32_t hash, Slice bytes) {
    for (size_t i = 0; i < bytes.len; i++)
        hash = (hash ^ (unsigned char)bytes.ptr[i]) * 16777619u;
    return hash;
}

static uint32_t partition(const Op *op, const Tokens *tokens) {
    uint32_t hash = 2166136261u;
    if (op->number == 0)
        return 0;
    if (op->places.len == 0)
        hash = fnv1a(hash, tokens->subject);
    for (size_t i = 0; i < op->places.len; i++)
        hash = fnv1a(hash, token_at(tokens, op->places.at[i]));
    return hash % (uint32_t)op->number;
}

static size_t character_len(Slice text) {
    size_t len = 1;
    while (len < text.len && ((unsigned char)text.ptr[len] & 0xc0) == 0x80)
        len++;
    return len;
}

/* Empty pieces are dropped; an empty separator cuts between characters. */
static void append_split(Slice token, Slice separator, Buf *out) {
    size_t begin = out->len;
    Slice rest = token;
    while (rest.len) {
        size_t len = separator.len ? slice_find_slice(rest, separator) : character_len(rest);
        if (len && out->len > begin)
            buf_append_char(out, '.');
        buf_append_bytes(out, rest.ptr, len);
        rest = slice_from_at(rest, len + separator.len);
    }
    if (out->len == begin) /* nothing but separators: no subject may have an empty token */
        buf_append(out, token);
}

static void append_two(Slice token, size_t at, Buf *out) {
    if (at == 0 || at >= token.len) {
        buf_append(out, token);
        return;
    }
    buf_append_bytes(out, token.ptr, at);
    buf_append_char(out, '.');
    buf_append_bytes(out, token.ptr + at, token.len - at);
}

/* Pieces of size characters, the first one of `first` when that is not 0. */
static void append_pieces(Slice token, size_t first, size_t size, Buf *out) {
    for (size_t at = 0, len = first ? first : size; at < token.len; at += len, len = size) {
        if (at)
            buf_append_char(out, '.');
        if (len > token.len - at)
            len = token.len - at;
        buf_append_bytes(out, token.ptr + at, len);
        if (at + len == token.len)
            return;
    }
}

static void apply_cut(const Op *op, Slice token, Buf *out) {
    size_t number = op->number > 0 ? (size_t)op->number : 0;
    if (number == 0 || number >= token.len) {
        buf_append(out, token);
        return;
    }
    switch (op->kind) {
    case OP_SPLIT_FROM_LEFT:
        append_two(token, number, out);
        return;
    case OP_SPLIT_FROM_RIGHT:
        append_two(token, token.len - number, out);
        return;
    case OP_SLICE_FROM_LEFT:
        append_pieces(token, 0, number, out);
        return;
    case OP_SLICE_FROM_RIGHT:
        append_pieces(token, token.len % number, number, out);
        return;
    case OP_LEFT:
        buf_append_bytes(out, token.ptr, number);
        return;
    default:
        ASSERT(op->kind == OP_RIGHT);
        buf_append_bytes(out, token.ptr + token.len - number, number);
    }
}

static void apply_op(const Transform *transform, const Op *op, const Tokens *tokens, Rand *rand,
                     Buf *out) {
    switch (op->kind) {
    case OP_TEXT:
        buf_append(out, op->text);
        return;
    case OP_TAIL:
        buf_append(out, tail_from(tokens->subject, transform->src_tokens - 1));
        return;
    case OP_WILDCARD:
        buf_append(out, token_at(tokens, op->places.at[0]));
        return;
    case OP_PARTITION:
        buf_append_u64(out, partition(op, tokens));
        return;
    case OP_RANDOM:
        buf_append_u64(out, op->number > 0 ? rand_below(rand, (uint64_t)op->number) : 0);
        return;
    case OP_SPLIT:
        append_split(token_at(tokens, op->places.at[0]), op->text, out);
        return;
    default:
        apply_cut(op, token_at(tokens, op->places.at[0]), out);
    }
}
