#include "proto/subject.h"

static bool is_star(Slice token) {
    return token.len == 1 && token.ptr[0] == '*';
}

static bool is_tail(Slice token) {
    return token.len == 1 && token.ptr[0] == '>';
}

static bool is_blank(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r' && c != '\v');
}

/* One pass: the length of the current token, and whether it is a lone wildcard, decide at each dot.
 */
static bool scan(Slice subject, bool *out_has_wildcard) {
    size_t token_len = 0;
    char last = 0;
    bool has_wildcard = false;

    for (size_t i = 0; i < subject.len; i++) {
        char c = subject.ptr[i];
        if (c != '.') {
            if (is_blank(c))
                return false;
            last = c;
            token_len++;
            continue;
        }
        if (token_len == 0 || (token_len == 1 && last == '>'))
            return false;
        has_wildcard |= token_len == 1 && last == '*';
        token_len = 0;
    }
    *out_has_wildcard = has_wildcard || (token_len == 1 && (last == '*' || last == '>'));
    return token_len > 0;
}

bool subject_is_valid(Slice subject) {
    bool has_wildcard;
    return scan(subject, &has_wildcard);
}

bool subject_is_literal(Slice subject) {
    bool has_wildcard;
    return scan(subject, &has_wildcard) && !has_wildcard;
}

bool subject_has_wildcard(Slice subject) {
    for (size_t i = 0; i < subject.len; i++) {
        char c = subject.ptr[i];
        if (c != '*' && c != '>')
            continue;
        bool begins = i == 0 || subject.ptr[i - 1] == '.';
        bool ends = i + 1 == subject.len || (c == '*' && subject.ptr[i + 1] == '.');
        if (begins && ends)
            return true;
    }
    return false;
}

bool subject_matches(Slice pattern, Slice subject) {
    if (pattern.len == 0 || subject.len == 0)
        return false;
    const char *p = pattern.ptr, *p_end = p + pattern.len;
    const char *s = subject.ptr, *s_end = s + subject.len;

    for (;;) { /* p and s stand at the beginning of a token */
        bool is_last = p + 1 == p_end;
        if (p < p_end && *p == '>' && is_last)
            return s < s_end;
        if (p < p_end && *p == '*' && (is_last || p[1] == '.')) {
            const char *token = s;
            while (s < s_end && *s != '.')
                s++;
            if (s == token)
                return false;
            p++;
        } else {
            while (p < p_end && s < s_end && *p == *s && *p != '.') {
                p++;
                s++;
            }
        }
        if (p == p_end || s == s_end)
            return p == p_end && s == s_end;
        if (*p != '.' || *s != '.')
            return false;
        p++;
        s++;
    }
}

bool subject_is_subset(Slice inner, Slice outer) {
    Slice want, have;

    while (slice_cut(&outer, '.', &want)) {
        if (!slice_cut(&inner, '.', &have))
            return false;
        if (is_tail(want) && outer.ptr == NULL)
            return true;
        if (is_tail(have) && inner.ptr == NULL)
            return false;
        if (!is_star(want) && !slice_equal(want, have))
            return false;
    }
    return inner.ptr == NULL;
}

bool subject_overlaps(Slice a, Slice b) {
    Slice x, y;

    for (;;) {
        bool more_a = slice_cut(&a, '.', &x), more_b = slice_cut(&b, '.', &y);
        if (!more_a || !more_b)
            return more_a == more_b;
        if ((is_tail(x) && a.ptr == NULL) || (is_tail(y) && b.ptr == NULL))
            return true;
        if (!is_star(x) && !is_star(y) && !slice_equal(x, y))
            return false;
    }
}

size_t subject_token_count(Slice subject) {
    if (subject.len == 0)
        return 0;
    size_t count = 1;
    for (size_t i = 0; i < subject.len; i++)
        count += subject.ptr[i] == '.';
    return count;
}

Slice subject_token(Slice subject, size_t i) {
    Slice token;

    if (subject.len == 0)
        return (Slice){0};
    while (slice_cut(&subject, '.', &token))
        if (i-- == 0)
            return token;
    return (Slice){0};
}
