#!/usr/bin/python3
"""The connection limit and the idle timeout."""

import time

from harness import Server, case, packet, run, speak_until, store_packet, wait_for


def fill(server, most):
    """Connects until refused: (the connections that work, the refusal's bytes)."""
    taken = []
    for _ in range(most):
        c = server.connect()
        try:
            if c.try_send(b"mn\r\n") and c.line() == b"MN":
                taken.append(c)
                continue
        except (EOFError, ConnectionError):
            pass
        c.close()
        with server.connect() as again:
            return taken, again.wait_closed()
    raise AssertionError("%d connections were taken" % len(taken))


@case
def connection_limit_refuses_fast():
    with Server("-c", 60, "-t", 2) as server:
        taken, refusal = fill(server, 80)
        assert refusal == b"ERROR Too many open connections\r\n", refusal
        assert len(taken) >= 30, len(taken)
        for c in taken:
            assert c.ask(b"mn") == b"MN"
        assert int(taken[0].stats()["rejected_connections"]) >= 1
        for c in taken[1:]:
            c.close()

        def works():
            with server.connect() as c:
                return probe(c)
        wait_for(works, "a connection after others left")


def probe(c):
    try:
        return c.ask(b"mn") == b"MN"
    except (EOFError, ConnectionError):
        return False


@case(keepd_only="-c counts descriptors, not clients")
def connection_limit_is_the_number_of_clients():
    with Server("-c", 40, "-t", 1) as server:
        taken, _ = fill(server, 60)
        assert len(taken) == 40, len(taken)
        for c in taken:
            c.close()


@case
def no_maxconns_fast_lets_them_wait():
    with Server("-c", 40, "-t", 1, "-o", "no_maxconns_fast") as server:
        first, others = server.connect(), []

        def is_full():
            return first.stats()["accepting_conns"] == "0"
        while not is_full():
            assert len(others) < 60, "no client has to wait"
            others.append(server.connect())
            others[-1].send(b"mn\r\n")
            wait_for(lambda: not others[-1].is_silent(0.01) or is_full(), "an answer, or the limit")
        waiting = server.connect()
        waiting.send(b"mn\r\n")
        assert waiting.is_silent()
        for c in others:
            c.close()
        assert waiting.line() == b"MN"
        assert int(first.stats()["listen_disabled_num"]) >= 1
        wait_for(lambda: first.stats()["accepting_conns"] == "1", "accepting to go on")
        first.close()
        waiting.close()


@case
def idle_timeout_ends_silent_clients():
    with Server("-o", "idle_timeout=1") as server:
        silent = server.connect()
        began = time.monotonic()
        silent.send(b"mn\r\n")

        def is_kicked(working):
            return int(working.stats()["idle_kicks"]) >= 1
        speak_until(server, is_kicked, 1)
        assert time.monotonic() - began > 0.8
        assert silent.wait_closed() == b"MN\r\n"
        speak_until(server, lambda working: working.ask(b"mn") == b"MN", 1)


@case(keepd_only="a client stalled inside a value is never ended")
def idle_timeout_ends_clients_stalled_in_a_value():
    with Server("-o", "idle_timeout=1") as server:
        stalled = [b"set k 0 0 10\r\nabc", b"ms k 10\r\nabc", b"set k 0 0 999999\r\nabc",
                   store_packet(1, b"k", b"x" * 100)[:-5], packet(1)[:7], b"get a"]
        clients = [server.connect() for _ in stalled]
        for c, data in zip(clients, stalled):
            c.send(data)
        for c, data in zip(clients, stalled):
            assert c.wait_closed() == b"", data


@case
def idle_timeout_off_by_default():
    with Server() as server:
        settings = server.stats(b"settings")
        assert settings["idle_timeout"] == "0" and "idle_kicks" not in server.stats()


run()
