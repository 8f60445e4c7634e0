/* ASSERT: for our own mistakes; stays on in release. Never for bytes from a socket or a disk. */
#pragma once

/* Prints the condition and its place to stderr and aborts. */
_Noreturn void assert_failed(const char *condition, const char *file, int line);

#define ASSERT(condition)                                                                          \
    do {                                                                                           \
        if (__builtin_expect(!(condition), 0))                                                     \
            assert_failed(#condition, __FILE__, __LINE__);                                         \
    } while (0)

/* container_of: the struct that embeds a member. */
#define CONTAINER_OF(ptr, Type, member) ((Type *)(void *)((char *)(ptr)-offsetof(Type, member)))

/* Runs free_function(&local) when the local leaves its scope; the function takes the value. */
#define CLEANUP(free_function) __attribute__((cleanup(free_function##_at)))
#define DEFINE_CLEANUP(Type, free_function)                                                        \
    static inline void free_function##_at(Type **where) {                                          \
        free_function(*where);                                                                     \
    }
