#include "mutants.h"
#include "store/record.h"

#define record_parse(bytes, out_record, out_used)                                                  \
    (is_mutant(SKIP_CRC_READING) ? record_parse_trusted(bytes, out_record, out_used)               \
                                 : record_parse(bytes, out_record, out_used))
#include "store/log_reader.c"
