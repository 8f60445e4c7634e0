/* IoMemory: memory for unbuffered reads and writes. Aligned to pages; where it is large, in huge
 * ones, so that the system has less to look up at each transfer. */
#pragma once

#include <stddef.h>

/* Zeroed. Aborts when memory is out. */
char *io_memory_new(size_t bytes);
/* NULL-safe; bytes as given to io_memory_new. */
void io_memory_free(char *memory, size_t bytes);
