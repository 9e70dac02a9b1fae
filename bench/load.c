/* load - drives a memcached-protocol server, checks every reply, prints what it measured. */
#include "bench/flow.h"
#include "bench/peer.h"
#include "bench/sessions.h"
#include "bench/window.h"

#include "base/schedule.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

static void allow_many_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

static void run(const struct plan *plan, struct ssl_ctx_st *tls, struct tally *tally)
{
    struct keyspace ks;
    const struct kind *kind = kind_find(plan->kind);
    if (kind == NULL)
        flow_fail("no such kind", (const uint8_t *)plan->kind, strlen(plan->kind));
    if (plan->set_every > 0 && kind->set == OP_NONE)
        flow_fail("sets cannot be mixed into", (const uint8_t *)plan->kind, strlen(plan->kind));
    keyspace_init(&ks, plan->keys, plan->key_bytes, plan->value_bytes, plan->zipf);
    if (plan->emit[0] != '\0') {
        window_emit(plan, kind, &ks);
    } else {
        if (!plan->no_preload)
            tally->n_refused = flow_preload(plan, &ks, tls);
        if (!plan->only_preload)
            flow_run(plan, kind, &ks, tls, tally);
    }
    keyspace_fini(&ks);
}

int main(int argc, char **argv)
{
    struct plan plan;
    static struct tally tally;
    plan_parse(&plan, argc, argv);
    signal(SIGPIPE, SIG_IGN);
    allow_many_descriptors();
    if (plan.gives_way)
        schedule_give_way();
    struct ssl_ctx_st *tls = plan.tls ? peer_client_tls_create((unsigned)plan.tls_minor) : NULL;
    if (sessions_knows(plan.kind))
        sessions_run(&plan, tls, &tally);
    else
        run(&plan, tls, &tally);
    if (plan.emit[0] == '\0')
        tally_print(&tally);
    peer_tls_destroy(&tls);
    return 0;
}
