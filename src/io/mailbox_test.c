#include "io/mailbox.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <poll.h>

#include "base/mem.h"
#include "io/clock.h"
#include "io/thread.h"

typedef struct Note {
    Mail mail;
    int number;
} Note;

static int number_of(const Mail *mail) {
    return ((const Note *)(const void *)mail)->number;
}

static bool is_signalled(const Mailbox *box) {
    struct pollfd poll_fd = {.fd = mailbox_fd(box), .events = POLLIN};
    return poll(&poll_fd, 1, 0) == 1;
}

static void take_returns_mail_oldest_first(void **state) {
    (void)state;
    Mailbox *box;
    assert_int_equal(mailbox_open(&box), OK);
    Note notes[5] = {{.number = 0}, {.number = 1}, {.number = 2}, {.number = 3}, {.number = 4}};
    notes[1].mail.next = &notes[2].mail;
    notes[4].mail.next = &notes[3].mail;

    assert_null(mailbox_take(box));
    mailbox_post(box, &notes[0].mail);
    mailbox_post_all(box, &notes[1].mail, &notes[2].mail);
    mailbox_post_reversed(box, &notes[4].mail, &notes[3].mail);

    int want = 0;
    for (Mail *mail = mailbox_take(box); mail; mail = mail->next)
        assert_int_equal(number_of(mail), want++);
    assert_int_equal(want, 5);
    assert_null(mailbox_take(box));
    mailbox_close(box);
}

static void only_the_first_post_to_a_sleeper_signals(void **state) {
    (void)state;
    Mailbox *box;
    assert_int_equal(mailbox_open(&box), OK);
    Note notes[4] = {0};

    mailbox_post(box, &notes[0].mail);
    assert_false(is_signalled(box)); /* the owner is awake */
    assert_false(mailbox_sleep(box));
    mailbox_post(box, &notes[1].mail);
    assert_false(is_signalled(box)); /* it was told not to sleep */

    assert_non_null(mailbox_take(box));
    assert_true(mailbox_sleep(box));
    mailbox_post(box, &notes[2].mail);
    assert_true(is_signalled(box));
    mailbox_wait(box, 0); /* returns at once */
    mailbox_close(box);
}

static void wait_ends_at_its_time(void **state) {
    (void)state;
    Mailbox *box;
    assert_int_equal(mailbox_open(&box), OK);
    uint64_t until = clock_mono_ns() + 5 * NS_PER_MS;
    mailbox_wait(box, until);
    assert_true(clock_mono_ns() >= until);
    mailbox_wait(box, 1); /* long ago */
    Note note = {0};
    mailbox_post(box, &note.mail);
    assert_false(is_signalled(box)); /* nobody waits any more */
    mailbox_close(box);
}

enum { SENDERS = 3, NOTES_EACH = 20000 };

typedef struct Sender {
    Mailbox *box;
    int number;
} Sender;

static void send_notes(void *cookie) {
    Sender *sender = cookie;
    for (int i = 0; i < NOTES_EACH; i++) {
        Note *note = mem_zalloc(sizeof *note);
        note->number = sender->number * NOTES_EACH + i;
        mailbox_post(sender->box, &note->mail);
    }
}

static void nothing_is_lost_or_turned_round_between_threads(void **state) {
    (void)state;
    Mailbox *box;
    assert_int_equal(mailbox_open(&box), OK);
    Sender senders[SENDERS];
    Thread *threads[SENDERS];
    int next[SENDERS] = {0}, total = 0;
    for (int i = 0; i < SENDERS; i++) {
        senders[i] = (Sender){box, i};
        assert_int_equal(thread_start("sender", send_notes, &senders[i], &threads[i]), OK);
    }

    while (total < SENDERS * NOTES_EACH) {
        /* Now with a limit, now without one. */
        mailbox_wait(box, total % 2 ? clock_mono_ns() + NS_PER_S : 0);
        for (Mail *mail = mailbox_take(box), *after; mail; mail = after) {
            after = mail->next;
            int number = number_of(mail);
            assert_int_equal(number % NOTES_EACH, next[number / NOTES_EACH]++);
            total++;
            mem_free(mail);
        }
    }
    for (int i = 0; i < SENDERS; i++)
        thread_join(threads[i]);
    assert_null(mailbox_take(box));
    mailbox_close(box);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(take_returns_mail_oldest_first),
        cmocka_unit_test(only_the_first_post_to_a_sleeper_signals),
        cmocka_unit_test(wait_ends_at_its_time),
        cmocka_unit_test(nothing_is_lost_or_turned_round_between_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
