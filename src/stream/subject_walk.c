/* Walks over the subjects of an index: all of them, or those that a pattern covers. */
#include "base/buf.h"
#include "proto/subject.h"
#include "stream/subject_base.h"
#include "stream/subject_index_private.h"

static bool are_all_below(const SubjectIndex *index, Slice prefix) {
    uint32_t id = index->root;
    Slice rest = prefix, token;
    for (unsigned depth = 0; id && rest.len; depth++) {
        const SubjectNode *node = node_at(index, id);
        slice_cut(&rest, '.', &token);
        if (depth == NODE_DEPTH_MAX || node->count)
            return false;
        id = node->child;
        if (id && (node_at(index, id)->next || !slice_equal(node_token(node_at(index, id)), token)))
            return false;
    }
    return true;
}

bool subject_index_is_all_below(const SubjectIndex *index, Slice prefix) {
    if (index->base && !slice_starts_with(buf_slice(&index->base->common), prefix) &&
        run_subject_count(index->base->run))
        return false;
    return are_all_below(index, prefix) && (!index->below || are_all_below(index->below, prefix));
}

const Run *subject_index_run(const SubjectIndex *index) {
    return index->base ? index->base->run : NULL;
}

void subject_index_each_of_run(const SubjectIndex *index,
                               void (*each)(void *cookie, const SubjectId *ids, size_t count),
                               void *cookie) {
    enum { AT_ONCE = 1024 };
    SubjectId ids[AT_ONCE];
    size_t len = 0;
    uint32_t count = index->base ? run_subject_count(index->base->run) : 0;
    for (uint32_t ordinal = 0; ordinal < count; ordinal++) {
        if (subject_base_is_changed(index->base, ordinal))
            continue;
        ids[len++] = ordinal | SUBJECT_OF_RUN;
        if (len == AT_ONCE) {
            each(cookie, ids, len);
            len = 0;
        }
    }
    if (len)
        each(cookie, ids, len);
}

/* Those of a list of what was set aside that count. */
typedef struct EachThere {
    const SubjectIndex *below;
    void (*each)(void *cookie, const SubjectId *ids, size_t count);
    void *cookie;
} EachThere;

static void each_there(void *cookie, const SubjectId *ids, size_t count) {
    const EachThere *there = cookie;
    for (size_t i = 0; i < count; i++)
        if (is_there_below(slab_at(there->below, ids[i])))
            there->each(there->cookie, &ids[i], 1);
}

void subject_index_each_list(const SubjectIndex *index,
                             void (*each)(void *cookie, const SubjectId *ids, size_t count),
                             void *cookie) {
    subject_index_each_of_run(index, each, cookie);
    subject_index_each_of_heap(index, each, cookie);
}

void subject_index_each_of_heap(const SubjectIndex *index,
                                void (*each)(void *cookie, const SubjectId *ids, size_t count),
                                void *cookie) {
    uint32_t id = index->root;
    if (index->below) {
        EachThere there = {index->below, each, cookie};
        subject_index_each_list(index->below, each_there, &there);
    }
    while (id) {
        SubjectNode *node = node_at(index, id);
        if (node->count)
            each(cookie, node_list(node), node->count);
        if (node->child) {
            id = node->child;
            continue;
        }
        while (id && !node_at(index, id)->next)
            id = node_at(index, id)->parent;
        id = id ? node_at(index, id)->next : 0;
    }
}

/* ---- scan ---- */

typedef struct Scan {
    SubjectIndex *index;
    Slice pattern;
    SubjectEach *each;
    void *cookie;
} Scan;

/* Subjects that hang at the node; with is_checked only those that the whole pattern covers. */
static bool scan_list(const Scan *scan, uint32_t id, bool is_checked) {
    SubjectNode *node = node_at(scan->index, id);
    uint32_t *list = node_list(node);
    for (uint32_t i = 0; i < node->count; i++) {
        SubjectEntry *entry = subject_index_entry(scan->index, list[i]);
        if (!is_there_below(entry) ||
            (is_checked && !subject_matches(scan->pattern, subject_entry_text(entry))))
            continue;
        if (!scan->each(scan->cookie, list[i], entry))
            return false;
    }
    return true;
}

static bool scan_below(const Scan *scan, uint32_t top) {
    uint32_t id = top;
    for (;;) {
        if (!scan_list(scan, id, false))
            return false;
        const SubjectNode *node = node_at(scan->index, id);
        if (node->child) {
            id = node->child;
            continue;
        }
        while (id != top && !node_at(scan->index, id)->next)
            id = node_at(scan->index, id)->parent;
        if (id == top)
            return true;
        id = node_at(scan->index, id)->next;
    }
}

static bool scan_literal(const Scan *scan, Slice subject) {
    SubjectId id = subject_index_find(scan->index, subject);
    SubjectEntry *entry = id ? subject_index_entry(scan->index, id) : NULL;
    return !entry || !entry->count || scan->each(scan->cookie, id, entry);
}

/* The subject one token below the node. */
static bool scan_child(const Scan *scan, uint32_t id, Slice token) {
    Slice path[NODE_DEPTH_MAX];
    unsigned depth = 0;
    for (; id != scan->index->root; id = node_at(scan->index, id)->parent)
        path[depth++] = node_token(node_at(scan->index, id));
    Buf text = {0};
    while (depth) {
        buf_append(&text, path[--depth]);
        buf_append_char(&text, '.');
    }
    buf_append(&text, token);
    SubjectId found = subject_index_find_heap(scan->index, buf_slice(&text));
    buf_done(&text);
    SubjectEntry *entry = found ? slab_at(scan->index, found) : NULL;
    return !entry || !is_there_below(entry) || scan->each(scan->cookie, found, entry);
}

/* Recursion goes as deep as the trie. */
static bool scan_node(const Scan *scan, uint32_t id, unsigned depth, Slice rest) {
    Slice token;
    if (depth == NODE_DEPTH_MAX)
        return scan_list(scan, id, true);
    slice_cut(&rest, '.', &token);
    bool is_last = rest.ptr == NULL;
    if (is_last && slice_equal(token, LIT(">")))
        return scan_below(scan, id);
    if (!slice_equal(token, LIT("*"))) {
        if (is_last)
            return scan_child(scan, id, token);
        uint32_t child = subject_index_find_node(scan->index, id, token);
        return !child || scan_node(scan, child, depth + 1, rest);
    }
    if (is_last)
        return scan_list(scan, id, false);
    for (uint32_t child = node_at(scan->index, id)->child; child;
         child = node_at(scan->index, child)->next)
        if (!scan_node(scan, child, depth + 1, rest))
            return false;
    return true;
}

/* What every subject that pattern covers begins with. */
static Slice leading_literal(Slice pattern) {
    size_t len = 0;
    for (size_t i = 0; i < pattern.len && pattern.ptr[i] != '*' && pattern.ptr[i] != '>'; i++)
        if (pattern.ptr[i] == '.')
            len = i + 1;
    return slice_first(pattern, len);
}

static bool scan_base(const Scan *scan) {
    SubjectBase *base = scan->index->base;
    RunScan run;
    uint32_t ordinal;
    Slice text;
    bool is_all = slice_equal(scan->pattern, LIT(">")), goes_on = true;
    run_scan_begin(&run, base->run, leading_literal(scan->pattern));
    while (goes_on && run_scan_next(&run, &ordinal, &text)) {
        if (subject_base_is_changed(base, ordinal) ||
            (!is_all && !subject_matches(scan->pattern, text)))
            continue;
        goes_on = scan->each(scan->cookie, ordinal | SUBJECT_OF_RUN,
                             subject_base_copy_as(base, ordinal, text));
    }
    run_scan_done(&run);
    return goes_on;
}

bool subject_index_scan(SubjectIndex *index, Slice pattern, SubjectEach *each, void *cookie) {
    Scan scan = {index, pattern, each, cookie};
    if (pattern.len == 0)
        return true;
    if (!subject_has_wildcard(pattern))
        return scan_literal(&scan, pattern);
    if (index->root && !scan_node(&scan, index->root, 0, pattern))
        return false;
    Scan below = {index->below, pattern, each, cookie};
    if (below.index && below.index->root && !scan_node(&below, below.index->root, 0, pattern))
        return false;
    return !index->base || scan_base(&scan);
}
