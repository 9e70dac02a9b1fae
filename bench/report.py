"""Keeps results as JSON, and renders them as a markdown table and an SVG plot."""

import json
import math
import os
import platform
import statistics
import subprocess
import time

import storm
from cases import CASES
from speed import median, ratios
from svg import bars

BY_NAME = {case.name: case for case in CASES}


def first_line(command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10)
        return (done.stdout or done.stderr).strip().splitlines()[0]
    except (OSError, IndexError, subprocess.TimeoutExpired):
        return "not there"


def processor():
    for line in open("/proc/cpuinfo"):
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def machine(arguments):
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "processor": f"{os.cpu_count()} x {processor()}",
        "memory": f"{pages / 2**30:.0f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "memcached": first_line([arguments.memcached, "-V"]),
        "keepd": first_line([arguments.keepd, "-V"]),
        "openssl": first_line(["openssl", "version"]),
        "rounds": arguments.rounds,
        "seconds": arguments.seconds,
    }


def number(value):
    if value >= 1e6:
        return f"{value / 1e6:.2f}M"
    if value >= 1e4:
        return f"{value / 1e3:.0f}k"
    return f"{value / 1e3:.2f}k" if value >= 1e3 else f"{value:.0f}"


def micro(ns):
    us = ns / 1000
    return f"{us:.0f}" if us >= 10 else f"{us:.1f}"


class Store:
    """results.json, results.md, speed.svg in one folder; a run replaces the cases it ran."""

    def __init__(self, folder, arguments):
        self.folder = folder
        self.path = folder / "results.json"
        self.cases = json.loads(self.path.read_text())["cases"] if self.path.exists() else {}
        self.machine = machine(arguments)

    def add(self, name, outcome):
        self.cases[name] = {"machine": self.machine, "outcome": outcome}

    def write(self):
        self.path.write_text(json.dumps({"cases": self.cases}, indent=1) + "\n")
        (self.folder / "results.md").write_text(self.text(None))
        plot = self.plot()
        if plot:
            (self.folder / "speed.svg").write_text(plot)

    def _speed_names(self, names):
        return [n for n in BY_NAME if n in self.cases and (names is None or n in names)]

    def text(self, names):
        parts = []
        if names is None:
            parts += ["# Results\n", "How to read them: [README](../README.md).\n"]
        parts += self._runs(names)
        speed_names = self._speed_names(names)
        if speed_names:
            parts += ["\n## Speed\n", *self._speed_table(speed_names),
                      "\n## Cost and latency\n", *self._cost_table(speed_names)]
        shaking = [n for n in speed_names if BY_NAME[n].load["kind"] in ("handshake", "resume")]
        if shaking:
            parts += ["\n## TLS handshakes\n", *self._handshake_table(shaking)]
        for special, table in (("density", density_table), ("misses", misses_table),
                               ("storm", storm.table)):
            if special in self.cases and (names is None or special in names):
                parts += table(self.cases[special]["outcome"])
        return "\n".join(parts) + "\n"

    def _runs(self, names):
        seen = []
        for name, case in self.cases.items():
            m = case["machine"]
            if (names is None or name in names) and m not in seen:
                seen.append(m)
        return [f"- {m['date']}: {m['processor']}, {m['memory']}, {m['kernel']}; {m['memcached']}; "
                f"{m['keepd']}; {m['openssl']}; {m['rounds']} rounds of {m['seconds']:g} s"
                for m in seen]

    def _speed_table(self, names):
        yield ("| case | what | memcached ops/s | keepd ops/s | ratio (rounds) | goal "
               "| floor ops/s | keepd's share of it | goal |")
        yield "|---|---|---:|---:|---:|---:|---:|---:|---:|"
        for name in names:
            case, outcome = BY_NAME[name], self.cases[name]["outcome"]
            speeds = [number(median(outcome["rounds"][s], "ops_per_second"))
                      if s in outcome["rounds"] else outcome["errors"].get(s, "-").split("\n")[0][:60]
                      for s in ("memcached", "keepd", "canned")]
            yield (f"| {name} | {case.about} | {speeds[0]} | {speeds[1]} "
                   f"| {spread(ratios(outcome, 'keepd', 'memcached'))} | {case.goal or ''} "
                   f"| {speeds[2]} | {share(ratios(outcome, 'keepd', 'canned'))} "
                   f"| {share([case.floor_goal] if case.floor_goal else [])} |")

    def _cost_table(self, names):
        yield ("| case | server | CPU ns per op: user + system | p50 us | p99 us | p99.9 us "
               "| server busy | load busy | RSS MiB |")
        yield "|---|---|---:|---:|---:|---:|---:|---:|---:|"
        for name in names:
            for server, results in self.cases[name]["outcome"]["rounds"].items():
                user = median(results, "server_user_ns")
                system = median(results, "server_system_ns")
                yield (f"| {name} | {server} | {user + system:,.0f} = {user:,.0f} + {system:,.0f} "
                       f"| {micro(median(results, 'p50_ns'))} | {micro(median(results, 'p99_ns'))} "
                       f"| {micro(median(results, 'p999_ns'))} "
                       f"| {median(results, 'server_busy'):.0%} | {median(results, 'load_busy'):.0%} "
                       f"| {median(results, 'rss') / 2**20:.0f} |")

    def _handshake_table(self, names):
        yield ("| case | server | CPU us per session: user + system | per second and core "
               "| resumed |")
        yield "|---|---|---:|---:|---:|"
        for name in names:
            for server, results in self.cases[name]["outcome"]["rounds"].items():
                user = median(results, "server_user_ns") / 1000
                system = median(results, "server_system_ns") / 1000
                resumed = sum(r["resumed"] for r in results) / sum(r["ops"] for r in results)
                yield (f"| {name} | {server} | {user + system:,.0f} = {user:,.0f} + {system:,.0f} "
                       f"| {1e6 / (user + system):,.0f} | {resumed:.0%} |")

    def plot(self):
        rows = []
        for name in self._speed_names(None):
            outcome = self.cases[name]["outcome"]
            keepd = ratios(outcome, "keepd", "memcached")
            floor = ratios(outcome, "canned", "memcached")
            if keepd:
                rows.append((name, statistics.median(keepd), BY_NAME[name].goal,
                             statistics.median(floor) if floor else None))
        return bars("keepd's throughput, in multiples of memcached's", rows) if rows else ""


def spread(values):
    if not values:
        return "-"
    return f"**{statistics.median(values):.2f}** ({min(values):.2f}-{max(values):.2f})"


def share(values):
    return f"{statistics.median(values):.0%}" if values else ""


def density_table(outcome):
    yield "\n## Items per MiB of RSS, -m 256\n"
    yield ("| key/value | memcached | keepd | ratio | goal | bytes per item | at first eviction: "
           "memcached | keepd | ratio |")
    yield "|---|---:|---:|---:|---:|---:|---:|---:|---:|"
    for row in outcome["rows"]:
        m, k = (row["servers"].get(s) for s in ("memcached", "keepd"))
        cells = [f"{row['key']}/{row['value']}"]
        for when in ("full", "first"):
            per = [s[when]["per_mib"] if s else None for s in (m, k)]
            cells += [f"{p:,.0f}" if p else "-" for p in per]
            cells.append(f"{per[1] / per[0]:.2f}" if all(per) else "-")
            if when == "full":
                cells.append(str(row["goal"]))
                cells.append(" / ".join(f"{1048576 / p:.1f}" if p else "-" for p in per))
        yield "| " + " | ".join(cells) + " |"


def misses_table(outcome):
    yield "\n## Miss ratio at equal -m\n"
    yield ("| trace | share of footprint | -m MiB | copies | requests | memcached | keepd | ratio "
           "| RSS MiB: memcached | keepd |")
    yield "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|"
    logs = []
    for row in outcome["rows"]:
        m, k = (row["servers"].get(s) for s in ("memcached", "keepd"))
        cells = [row["trace"], f"{row['percent']:g} %", str(row["limit_mb"]), str(row["copies"]),
                 number(row["requests"])]
        if m and k and k["limit_mb"] != row["limit_mb"]:
            cells[2] += f" (keepd {k['limit_mb']}: what memcached took)"
        cells += [f"{s['miss_ratio']:.4f}" if s else "-" for s in (m, k)]
        if m and k and m["miss_ratio"] > 0 and k["miss_ratio"] > 0:
            ratio = k["miss_ratio"] / m["miss_ratio"]
            logs.append(math.log(ratio))
            cells.append(f"{ratio:.3f}")
        else:
            cells.append("-")
        cells += [f"{s['rss'] / 2**20:.0f}" if s else "-" for s in (m, k)]
        yield "| " + " | ".join(cells) + " |"
    if logs:
        yield (f"\nGeometric mean of {len(logs)} ratios: **{math.exp(sum(logs) / len(logs)):.3f}** "
               f"(goal 0.85), worst {math.exp(max(logs)):.3f}.")
