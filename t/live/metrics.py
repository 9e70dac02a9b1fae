#!/usr/bin/python3
"""--metrics: Prometheus text for memcached_exporter's users, /healthz, and the status page."""

import http.client
import http.server
import json
import os
import re
import shutil
import socket
import subprocess
import threading

from accounts import two_tenants
from harness import MIB, SLACK, TIMEOUT_S, Server, Skip, case, folder, free_port, run, wait_for

# Those that memcached_exporter's dashboards and alerts read.
EXPORTER = """
    memcached_up memcached_version memcached_uptime_seconds memcached_time_seconds
    memcached_process_user_cpu_seconds_total memcached_process_system_cpu_seconds_total
    memcached_read_bytes_total memcached_written_bytes_total memcached_current_connections
    memcached_max_connections memcached_connections_total memcached_connections_rejected_total
    memcached_connections_yielded_total memcached_connections_listener_disabled_total
    memcached_accepting_connections memcached_current_bytes memcached_limit_bytes
    memcached_malloced_bytes memcached_commands_total memcached_current_items memcached_items_total
    memcached_items_evicted_total memcached_items_reclaimed_total memcached_item_too_large_total
    memcached_item_no_memory_total memcached_direct_reclaims_total memcached_lru_crawler_enabled
    memcached_slab_current_items memcached_slab_chunk_size_bytes""".split()
COMMANDS = {(c, s) for c in ("get", "delete", "incr", "decr", "cas", "touch") for s in ("hit", "miss")}
COMMANDS |= {("cas", "badval"), ("flush", "hit"), ("set", "hit")}

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
SAMPLE = re.compile(r'(%s)(?:\{((?:[a-zA-Z_]\w*="[^"\\\n]*",?)*)\})? (\S+)' % NAME)
LABEL = re.compile(r'([a-zA-Z_]\w*)="([^"\\\n]*)"')

KEEPD_ONLY = "memcached has no such option"


class Http:
    def __init__(self, *args):
        self.port = free_port()
        self.server = Server("--metrics=127.0.0.1:%d" % self.port, *args)

    def __enter__(self):
        self.server.__enter__()
        return self

    def __exit__(self, *args):
        return self.server.__exit__(*args)

    def ask(self, path, method="GET"):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT_S)
        c.request(method, path)
        answer = c.getresponse()
        body = answer.read()
        c.close()
        return answer, body


def parse(text):
    """Strictly the text format 0.0.4: {name: {labels: value}}; every series is typed and stands with its kin."""
    assert text.endswith("\n")
    types, series, current = {}, {}, None
    for line in text[:-1].split("\n"):
        head = re.fullmatch(r"# (HELP|TYPE) (%s) (.+)" % NAME, line)
        if head and head[1] == "HELP":
            assert head[2] not in types, line
            current = head[2]
        elif head:
            assert head[2] == current and head[3] in ("counter", "gauge", "histogram"), line
            types[current] = head[3]
            series[current] = {}
        else:
            sample = SAMPLE.fullmatch(line)
            assert sample, line
            name = re.sub("_(bucket|sum|count)$", "", sample[1]) \
                if types[current] == "histogram" else sample[1]
            assert name == current, line
            key = (sample[1],) + tuple(LABEL.findall(sample[2] or ""))
            assert key not in series[current], line
            series[current][key] = float(sample[3])
            if types[current] == "counter":
                assert name.endswith("_total") or name == "memcached_uptime_seconds", line
    return series


def use(server):
    with server.connect() as c:
        for i in range(200):
            c.set(b"k%d" % i, b"v" * 100)
            c.get(b"k%d" % i)
        c.get(b"absent")
        c.ask(b"delete absent")


@case(keepd_only=KEEPD_ONLY)
def prometheus():
    with Http() as h:
        use(h.server)
        answer, body = h.ask("/metrics")
        assert answer.status == 200
        assert answer.getheader("Content-Type").startswith("text/plain; version=0.0.4")
        series = parse(body.decode())
        missing = [name for name in EXPORTER if name not in series]
        assert not missing, missing
        commands = {(dict(k[1:])["command"], dict(k[1:])["status"]): v
                    for k, v in series["memcached_commands_total"].items()}
        assert set(commands) == COMMANDS, set(commands) ^ COMMANDS
        assert commands[("get", "hit")] == 200 and commands[("get", "miss")] == 1
        assert commands[("set", "hit")] == 200 and commands[("delete", "miss")] == 1
        assert series["memcached_current_items"][("memcached_current_items",)] == 200
        tenant = series["keepd_tenant_gets_total"]
        assert tenant == {("keepd_tenant_gets_total", ("tenant", "default")): 201}, tenant


@case(keepd_only=KEEPD_ONLY)
def histogram_is_cumulative():
    with Http() as h:
        use(h.server)
        series = parse(h.ask("/metrics")[1].decode())["keepd_request_duration_seconds"]
        for command in ("get", "set"):
            rows = [(dict(k[1:]), k[0], v) for k, v in series.items() if dict(k[1:])["command"] == command]
            buckets = [(float(l["le"]), v) for l, name, v in rows if name.endswith("_bucket")]
            count = [v for l, name, v in rows if name.endswith("_count")][0]
            assert buckets == sorted(buckets) and buckets[-1] == (float("inf"), count)
            assert all(a[1] <= b[1] for a, b in zip(buckets, buckets[1:]))


@case(keepd_only=KEEPD_ONLY)
def health_status_and_refusals():
    with Http() as h:
        use(h.server)
        assert h.ask("/healthz")[1] == b"ok\n"
        status = json.loads(h.ask("/status.json")[1])
        assert status["gets"] == 201 and status["hits"] == 200 and status["items"] == 200, status
        assert [t["name"] for t in status["tenants"]] == ["default"]
        assert h.ask("/nothing")[0].status == 404
        assert h.ask("/", "DELETE")[0].status >= 400
        page, body = h.ask("/")
        policy = page.getheader("Content-Security-Policy")
        nonce = re.search(r"script-src 'nonce-(\w{32})'", policy)[1]
        assert "default-src 'none'" in policy and "unsafe" not in policy
        assert body.count(nonce.encode()) == 2 and b"@NONCE@" not in body
        assert nonce not in h.ask("/")[0].getheader("Content-Security-Policy")
        outside = re.findall(rb'(?:src|href)="(?!/)[^"]*"|https?://(?!www\.w3\.org)', body)
        assert not outside, outside


@case(keepd_only=KEEPD_ONLY)
def no_keys_on_it():
    with Http() as h:
        with h.server.connect() as c:
            for i in range(2000):
                c.set(b"secret-key", b"secret-value")
                c.get(b"secret-key")
        for path in ("/metrics", "/status.json", "/"):
            assert b"secret" not in h.ask(path)[1], path


@case(keepd_only=KEEPD_ONLY)
def other_hosts_are_warned_of():
    port = free_port()
    with Server("--metrics=0.0.0.0:%d" % port) as server:
        server.wait_log("metrics_for_other_hosts")
    with Http() as h:
        assert "metrics_for_other_hosts" not in h.server.log()


@case(keepd_only=KEEPD_ONLY)
def bad_addresses():
    for where in ("9150", ":9150", "127.0.0.1:", "127.0.0.1:65536", "::1:80", "[::1]", "127.0.0.1:x"):
        server = Server("--metrics=" + where, wait=False, expect_exit=71)
        with server:
            server.wait_end()
        assert "--metrics" in server.log(), server.log()


@case(keepd_only=KEEPD_ONLY)
def silent_clients_do_not_hold_it_up():
    with Http() as h:
        silent = [socket.create_connection(("127.0.0.1", h.port)) for _ in range(50)]
        silent[0].sendall(b"GET /metrics HTTP/1.1\r\nX: " + b"y" * 20000)
        assert h.ask("/healthz")[1] == b"ok\n"
        for s in silent:
            s.close()


@case(keepd_only=KEEPD_ONLY)
def crowd_of_idle_clients():
    """The oldest connections give way: scrapes go on, and descriptors and memory are bounded."""
    with Http() as h:
        assert h.ask("/metrics")[0].status == 200
        memory, descriptors = h.server.rss(), h.server.n_descriptors()
        crowd = []
        for i in range(500):
            crowd.append(socket.create_connection(("127.0.0.1", h.port), timeout=TIMEOUT_S))
            if i % 2:
                crowd[-1].sendall(b"GET /healthz HTTP/1.1\r\nHost: ")
        assert h.ask("/metrics")[0].status == 200
        # Each way of an end will do: what was sent in vain resets the connection.
        for s in crowd[:500 - 64]:
            try:
                assert s.recv(100) == b""
            except ConnectionResetError:
                pass
        wait_for(lambda: h.server.n_descriptors() <= descriptors + 64, "the end of those cut off")
        assert h.server.rss() < memory + 8 * MIB * SLACK
        assert h.ask("/healthz")[1] == b"ok\n"
        h.server.check_alive()
        for s in crowd:
            s.close()


@case(keepd_only=KEEPD_ONLY)
def one_connection_for_many_scrapes():
    with Http() as h:
        c = http.client.HTTPConnection("127.0.0.1", h.port, timeout=TIMEOUT_S)
        for _ in range(200):
            c.request("GET", "/metrics")
            assert c.getresponse().read().endswith(b"\n")
        c.close()


def browse(page, budget_ms, *options):
    """The document, as text, after so much of the browser's own time."""
    chromium = shutil.which("chromium")
    if not chromium or os.environ.get("KEEPD_SANITIZED"):
        raise Skip("chromium is not installed, or everything is slow")
    command = [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
               "--disable-background-networking", "--disable-sync", "--disable-dev-shm-usage",
               "--user-data-dir=" + folder(), "--virtual-time-budget=%d" % budget_ms, "--dump-dom",
               *options, page]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    except subprocess.TimeoutExpired:
        raise Skip("chromium does not come to an end here")
    if "</html>" not in done.stdout:
        raise Skip("chromium shows nothing here: status %d" % done.returncode)
    return done.stdout


@case(keepd_only=KEEPD_ONLY)
def page_in_a_browser():
    with Http(two_tenants(memory_max="64m").option) as h:
        with h.server.connect() as c:
            assert c.set(b"login", b"alice apw") == b"STORED"
            for i in range(200):
                c.set(b"k%d" % i, b"v" * 100)
                c.get(b"k%d" % i)
            dom = browse("http://127.0.0.1:%d/" % h.port, 9500, "--window-size=1220,1180")
    found = dict(re.findall(r'<div class="value" id="(\w+)">([^<]+)</div>', dom))
    assert found["conns"] == "1" and found["hit"] == "100 %", found
    assert re.findall(r"<tr><td>(\w+)</td>", dom) == ["default", "red", "blue"], dom
    assert ">serving<" in dom and 'class="stale"' not in dom
    curves = re.findall(r'<path class="s c0" d="([^"]*)"', dom)
    assert len(curves) == 6, curves
    # Several points on those of what is always known; one second of the ten had requests.
    assert sum(d.count("L") >= 5 for d in curves) >= 4, curves


class Deserted(http.server.BaseHTTPRequestHandler):
    """The page, from a server that gives its numbers once and then no more."""
    page = status = None

    def do_GET(self):
        cls = type(self)
        body = cls.page
        if self.path == "/status.json":
            body, cls.status = cls.status, None
        self.send_response(200 if body else 503)
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, *args):
        pass


@case(keepd_only=KEEPD_ONLY)
def page_of_a_server_that_has_gone():
    with Http() as h:
        use(h.server)
        Deserted.page, Deserted.status = h.ask("/")[1], h.ask("/status.json")[1]
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Deserted) as gone:
        threading.Thread(target=gone.serve_forever, daemon=True).start()
        dom = browse("http://127.0.0.1:%d/" % gone.server_port, 6500)
        gone.shutdown()
    assert 'class="stale"' in dom and re.search(r">no answer for [3-9] s<", dom), dom[-9000:]
    assert '<td>default</td>' in dom


run()
