"""A storm of logins or handshakes while one connection works: what it does to that one's latency."""

import json
import statistics
import subprocess

from cases import Case
from servers import LOAD_CORE, BenchError, Server, core_prefix
from speed import load_arguments, run_load

ABOUT = "a storm of logins or handshakes on 50 connections while one other works, 1 and 2 workers"
STORMS = (  # about, the storm's load, is it TLS
    ("logins by SCRAM-SHA-256, half wrong", dict(kind="scram-login", wrong_every=2), False),
    ("logins by PLAIN, half wrong", dict(kind="login", wrong_every=2), False),
    ("TLS 1.3 handshakes", dict(kind="handshake"), True),
    ("TLS 1.2 handshakes", dict(kind="handshake", tls_minor=2), True),
    ("TLS 1.2, resumed", dict(kind="resume", tls_minor=2), True),
)
MIN_SESSIONS = 1000
LEAD_S = 0.5  # the storm begins before the measurement, and ends after it


def reader_of(is_tls):
    return Case("storm", ABOUT, dict(kind="get", connections=1, depth=1, keys=1000, log_in=not is_tls),
                transport="tls" if is_tls else "tcp")


def make_users(lab):
    """User bench with password bench, in a tenants file."""
    path = lab.folder / "storm.conf"
    for words in (("tenant", "add", "bench"),
                  ("user", "add", "bench", "--tenant", "bench", "--password-stdin")):
        done = subprocess.run([str(lab.build / "keepctl"), "--tenants", str(path), *words],
                              input=b"bench\n", capture_output=True)
        if done.returncode != 0:
            raise BenchError(done.stdout.decode() + done.stderr.decode())
    path.chmod(0o644)
    return path


def read(lab, server, is_tls, seconds):
    return run_load(lab, reader_of(is_tls), address=server.address, server_pid=server.process.pid,
                    seconds=seconds, warmup=0.2, no_preload=True)


def read_in_storm(lab, server, load, is_tls, seconds):
    """The reader's result and the storm's. The storm gives way to the reader on their core."""
    storm = Case("storm", ABOUT, dict(load, connections=50), transport="tls" if is_tls else "tcp")
    arguments = load_arguments(storm, address=server.address, server_pid=server.process.pid,
                               warmup=0.2, seconds=seconds + 2 * LEAD_S, gives_way=True)
    process = subprocess.Popen(["nice", "-n", "19", *core_prefix(LOAD_CORE), lab.load, *arguments],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        subprocess.run(["sleep", str(LEAD_S)], check=True)
        reader = read(lab, server, is_tls, seconds)
        out, complaint = process.communicate(timeout=60 + 3 * seconds)
    except (subprocess.TimeoutExpired, BenchError):
        process.kill()
        process.wait()
        raise BenchError("the storm does not end") from None
    if process.returncode != 0:
        raise BenchError(complaint.strip()[-300:])
    return reader, json.loads(out)


def cost(idle, reader, storm):
    """Server CPU for each login or handshake: what the storm used beyond the reader's requests."""
    per_get = idle["server_user_ns"] + idle["server_system_ns"]
    used = (storm["server_user_ns"] + storm["server_system_ns"]) * storm["ops_per_second"]
    return (used - per_get * reader["ops_per_second"]) / storm["ops_per_second"]


def run_rounds(lab, workers, load, is_tls, rounds, seconds, users):
    logins = () if is_tls else (f"--tenants={users}",)
    case = Case("storm", ABOUT, {}, server=("-m", "64", *logins), workers=workers,
                transport="tls" if is_tls else "tcp")
    found = {"idle": [], "storm": [], "logins": [], "cost_ns": []}
    with Server(lab, "keepd", case) as server:
        run_load(lab, reader_of(is_tls), address=server.address, only_preload=True)
        for _ in range(rounds):
            idle = read(lab, server, is_tls, seconds)
            reader, storm = read_in_storm(lab, server, load, is_tls, seconds)
            found["idle"].append(idle)
            found["storm"].append(reader)
            found["logins"].append(storm)
            found["cost_ns"].append(cost(idle, reader, storm))
    return found


def run(lab, servers, rounds, seconds, tell):
    rows = []
    if "keepd" not in servers:
        return {"rows": rows}
    users = make_users(lab)
    for workers in (1, 2):
        for about, load, is_tls in STORMS:
            found = run_rounds(lab, workers, load, is_tls, rounds, seconds, users)
            rows.append({"workers": workers, "about": about, **found})
            tell(f"  -t {workers}, {about}: p99 {ratio(found):.2f} times the idle one, "
                 f"{min(s['ops'] for s in found['logins'])} and more in a round")
    return {"rows": rows}


def median(results, key):
    return statistics.median(r[key] for r in results)


def ratio(found):
    return statistics.median(s["p99_ns"] / i["p99_ns"]
                             for i, s in zip(found["idle"], found["storm"]))


def table(outcome):
    yield "\n## Storms of logins and handshakes\n"
    yield ("| workers | storm | in a round | idle: p50 us | p99 us | in the storm: p50 us | p99 us "
           "| p99 ratio | goal | per second | server CPU us for each |")
    yield "|---:|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|"
    for row in outcome["rows"]:
        n = min(s["ops"] for s in row["logins"])
        latencies = [f"{median(row[when], key) / 1000:.0f}"
                     for when in ("idle", "storm") for key in ("p50_ns", "p99_ns")]
        cost_ns = statistics.median(row["cost_ns"])  # may drown in the reader's own
        yield (f"| {row['workers']} | {row['about']} | {n}{'' if n >= MIN_SESSIONS else ' (too few)'} "
               f"| {' | '.join(latencies)} | **{ratio(row):.2f}** | 2 "
               f"| {median(row['logins'], 'ops_per_second'):,.0f} "
               f"| {f'{cost_ns / 1000:,.0f}' if cost_ns > 0 else '-'} |")
