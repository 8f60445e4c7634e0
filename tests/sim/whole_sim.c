#include "whole_sim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "clock_sim.h"
#include "disk_sim.h"

enum { LIVES = 4, STEPS = 24, RECOVERIES = 3, TICK_MS = 110, SPACE_WAIT_S = 10, RESUME_S = 7 };

Whole whole;
bool whole_forgets_chunks;
static jmp_buf seed_end;
static char problem[512];

void whole_fail(const char *format, ...) {
    va_list args;
    va_start(args, format);
    (void)vsnprintf(problem, sizeof problem, format, args);
    va_end(args);
    longjmp(seed_end, 1);
}

void whole_tell(const char *format, ...) {
    va_list args;
    if (!whole.is_telling)
        return;
    va_start(args, format);
    (void)vprintf(format, args);
    va_end(args);
}

unsigned pick(unsigned below) {
    return (unsigned)rand_below(&whole.rand, below);
}

static void on_line(LogLevel level, const char *event, const char *facts) {
    whole.lines += level <= LOG_WARN;
    whole_tell("    | %s %s\n", event, facts);
}

/* ---- lives ---- */

static void end_process(bool has_power_cut) {
    whole.framed += sim_framed();
    sim_close();
    if (has_power_cut)
        disk_sim_power_cut();
    else
        disk_sim_kill();
}

/* Faults strike while the store is recovered, too. */
static void open_again(void) {
    for (unsigned i = 0; i < RECOVERIES && pick(3) == 0; i++) {
        disk_sim_stop_after(1 + pick(pick(2) ? 6 : 60));
        whole_tell("recovery under faults\n");
        if (sim_open(&whole.options)) {
            clock_sim_move(TICK_MS * (uint64_t)NS_PER_MS);
            sim_run();
            sim_close();
        }
        if (pick(2))
            disk_sim_power_cut();
        else
            disk_sim_kill();
    }
    whole.options.workers = 1 + pick(3);
    if (!sim_open(&whole.options))
        whole_fail("the store does not open");
    clock_sim_move(TICK_MS * (uint64_t)NS_PER_MS); /* what is due meanwhile */
    sim_run();
}

/* Expiry writes nothing: what was gone by a clock that was set back since may be there again. */
static void doubt_expiry(void) {
    for (unsigned i = 0; i < whole.chain_len; i++)
        for (unsigned s = 0; s < LEDGER_STREAMS; s++) {
            LedgerStream *stream = &whole.chain[i].streams[s];
            for (uint64_t seq = 1; seq <= stream->last; seq++)
                stream->msgs[seq].is_maybe |= stream->msgs[seq].is_expired;
        }
}

static void restart(bool is_open) {
    bool has_power_cut = pick(2);
    whole_tell("restart%s%s\n", is_open ? ", an operation is open" : "",
               has_power_cut ? ", power" : "");
    if (!is_open) {
        op_begin();
        if (pick(2))
            disk_sim_stop_now();
    }
    if (clock_wall_ns() < whole.wall_max_ns)
        doubt_expiry();
    end_process(has_power_cut);
    whole.has_fault = false;
    open_again();
    look_resolve(false);
    op_watch(0, WATCHERS);
    sim_run();
    look_watched(true);
    look_check_copy(false);
}

/* Everything that a life can do to the disk; returns the step at which it strikes. */
typedef enum Fault {
    FAULT_NONE,
    FAULT_STOP,
    FAULT_STOP_LATER,
    FAULT_ERROR,
    FAULT_FULL,
    FAULT_READS,
    FAULTS
} Fault;

static void begin_fault(Fault fault) {
    whole_tell("fault %d\n", (int)fault);
    whole.has_fault = fault >= FAULT_ERROR;
    if (fault == FAULT_STOP)
        disk_sim_stop_after(1 + pick(10));
    else if (fault == FAULT_STOP_LATER)
        disk_sim_stop_after(1 + pick(150));
    else if (fault == FAULT_ERROR)
        disk_sim_fail_for(1 + pick(30), pick(2) ? 1 : 1 + pick(20));
    else if (fault == FAULT_FULL)
        disk_sim_set_capacity(disk_sim_used() + pick(64) * 1024);
    else if (fault == FAULT_READS)
        disk_sim_fail_reads(1 + pick(20), 1 + pick(6));
}

static bool end_fault(void) {
    whole.has_fault = false;
    disk_sim_fail_for(0, 0);
    disk_sim_fail_reads(0, 0);
    disk_sim_set_capacity(0);
    clock_sim_move_mono(2 * (uint64_t)NS_PER_S); /* what could not be read is asked for again */
    op_begin();
    return op_wait(SPACE_WAIT_S * (int64_t)NS_PER_S);
}

/* The disk works again, and so does the log, by itself. */
static void go_on(void) {
    whole_tell("the disk works again\n");
    disk_sim_fail_for(0, 0);
    disk_sim_set_capacity(0);
    whole.has_fault = false;
    for (unsigned i = 0; i < RESUME_S && (whole.is_owed || sim_is_failed()); i++) {
        clock_sim_move_mono(NS_PER_S);
        sim_run();
    }
    if (sim_is_failed())
        whole_fail("the log does not go on");
}

/* True: the operation is open, and the process must end. */
static bool step(void) {
    bool is_done = op_any();
    if (disk_sim_is_stopped())
        return true;
    if (sim_is_failed() || (!is_done && whole.is_owed)) {
        if (pick(2) && !whole.is_owed)
            return true;
        go_on();
        look_resolve(false);
        return false;
    }
    if (!is_done && !whole.has_fault)
        whole_fail("an operation was not confirmed");
    if (!is_done)
        look_resolve(whole.is_refused);
    if (pick(2))
        look_watched(false);
    if (pick(12) == 0)
        look_check(pick(LEDGER_STREAMS));
    for (unsigned s = 0; whole.is_careful && s < LEDGER_STREAMS; s++)
        look_check(s);
    return disk_sim_is_stopped();
}

static void check_all(void) {
    sim_run();
    for (unsigned s = 0; s < LEDGER_STREAMS; s++) {
        look_check(s);
        look_ask_part(s);
    }
    look_watched(true);
    look_check_copy(false);
}

static void live(void) {
    Fault fault = (Fault)pick(FAULTS);
    unsigned steps = 1 + pick(STEPS), at = pick(steps);
    bool is_open = false;
    clock_sim_set_step(pick(2) ? 0 : 1 + pick(200 * 1000));
    for (unsigned i = 0; i < steps && !is_open; i++) {
        if (i == at && fault != FAULT_NONE)
            begin_fault(fault);
        is_open = step();
    }
    if (!is_open && sim_is_failed())
        go_on();
    if (!is_open && whole.has_fault)
        is_open = !end_fault();
    if (!is_open) {
        check_all();
        is_open = disk_sim_is_stopped();
    }
    restart(is_open);
}

static void run(void) {
    if (!sim_open(&whole.options))
        whole_fail("an empty store does not open");
    op_create_streams();
    op_watch(0, WATCHERS);
    for (unsigned life = 0; life < LIVES; life++)
        live();
    check_all();
    if (pick(3) == 0)
        damage_flip();
    else if (pick(8) == 0)
        damage_check_room();
}

bool whole_seed(uint64_t seed, bool is_telling, bool is_careful, char *out_problem,
                size_t problem_size) {
    memset(&whole, 0, sizeof whole);
    whole.seed = seed;
    whole.is_telling = is_telling;
    whole.is_careful = is_careful;
    rand_init(&whole.rand, seed);
    sim_seed(seed);
    clock_sim_reset();
    disk_sim_reset(seed, 0);
    whole.wall_max_ns = clock_wall_ns();
    whole.number_last = SAME_NUMBERS;
    whole.is_clock_moving = pick(4) == 0;
    whole.options = (SimOptions){
        .inboxes = WHOLE_BURST_MAX,
        .workers = 1 + pick(3),
        .segment_bytes = UINT64_C(32768) << pick(3),
        .checkpoint_bytes = UINT64_C(16384) << pick(4),
    };
    whole.has_chunks = pick(2);
    whole.has_frames = seed % 2 == 0;
    whole.options.is_forgetting_chunks = whole_forgets_chunks;
    whole.options.chunk_bytes_min = whole.has_chunks ? SIM_CHUNK_BYTES_MIN : 0;
    log_init(on_line, LOG_WARN);
    bool is_good = !setjmp(seed_end);
    if (is_good)
        run();
    else
        (void)snprintf(out_problem, problem_size, "%s", problem);
    sim_close();
    disk_sim_done();
    return is_good;
}
