/* throttle.h - guessing is slowed: per address (IPv6 by /48), and per user of an address that has
 * logged in before.
 * Owns: a table of fixed size under one lock.   Thread: any.
 * Never: sleeps or reads the clock; grows; delays a success.
 *
 * Each failure books a slot of THROTTLE_SLOT_MS. While more than THROTTLE_BURST_MS are booked, a
 * new attempt has to book one too and waits for it before it is checked; beyond
 * THROTTLE_WAIT_MAX_MS it is refused without a check. So a guesser gets at most 1000 /
 * THROTTLE_SLOT_MS checks per second, however many connections there are and whether or not it
 * waits for the replies. A pair of address and user that has logged in has bookings of its own: a
 * guesser beside it does not lock it out. */
#ifndef AUTH_THROTTLE_H
#define AUTH_THROTTLE_H

#include "auth/auth.h"

#define THROTTLE_SLOT_MS      12
#define THROTTLE_BURST_MS     300
#define THROTTLE_WAIT_MAX_MS  1200
#define THROTTLE_DELAY_MIN_MS 5
/* memjs gives up after 500 ms: a refused client shall see the refusal. */
#define THROTTLE_DELAY_MAX_MS 400
#define THROTTLE_FORGET_MS    60000
#define THROTTLE_KNOWN_MS     (12u * 3600 * 1000)

struct throttle;

enum throttle_admission { THROTTLE_NOW, THROTTLE_LATER, THROTTLE_REFUSE };

MUST_USE struct throttle *throttle_create(void); /* NULL: memory */
void throttle_destroy(struct throttle **throttle);

/* Asks for a check. LATER: *wait_ms_out says when; it is booked, do not ask again. */
enum throttle_admission throttle_admit(struct throttle *throttle,
                                       const struct auth_address *address, struct slice user,
                                       uint64_t now_ms, uint32_t *wait_ms_out);

/* Would it be checked at once? Books nothing. */
MUST_USE bool throttle_is_free(struct throttle *throttle, const struct auth_address *address,
                               struct slice user, uint64_t now_ms);

/* A checked attempt failed. is_booked: throttle_admit said LATER. Returns the reply's delay. */
uint32_t throttle_fail(struct throttle *throttle, const struct auth_address *address,
                       struct slice user, uint64_t now_ms, bool is_booked);

/* A checked attempt succeeded: a booking is given back, the pair becomes known. */
void throttle_succeed(struct throttle *throttle, const struct auth_address *address,
                      struct slice user, uint64_t now_ms, bool is_booked);

#endif
