"""Miss ratio at equal memory: traces and synthetic popularity, replayed over a socket."""

import json
import lzma
import math
import pathlib
import shutil
import subprocess

from cases import Case
from servers import LOAD_CORE, BenchError, Server, core_prefix

ABOUT = "miss ratio at 1, 3, 10, 30 % of the footprint: --traces FOLDER and Zipf"
PERCENTS = (1, 3, 10, 30)
# Below this memcached's first slab page per class decides, not its policy.
MIN_LIMIT_MB = 16
MAX_REQUESTS, QUICK_MAX_REQUESTS = 20_000_000, 5_000_000
TRACE_RECORDS = 1_000_000
SYNTHETIC = (
    # name, trace, records, honours TTL, requests per second (0: as fast as it goes), percents
    ("zipf 0.8", "zipf:0.8:1000000", 3_000_000, False, 0, PERCENTS),
    ("zipf 1.0", "zipf:1.0:1000000", 3_000_000, False, 0, PERCENTS),
    ("zipf 1.2", "zipf:1.2:1000000", 3_000_000, False, 0, PERCENTS),
    ("zipf 1.0, TTL 5 s, 20 s, none", "zipf:1.0:1000000", 6_000_000, True, 200_000, (3, 10)),
)


def replay(lab, address, trace, copies, records, pace=0, ttl=False):
    command = core_prefix(LOAD_CORE) + [lab.replay, address, str(trace), str(copies), str(records),
                                        str(pace), "1" if ttl else "0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1800)
    if done.returncode != 0:
        raise BenchError(done.stderr.strip()[-300:])
    return json.loads(done.stdout)


def unpack(folder, lab):
    for packed in sorted(pathlib.Path(folder).glob("*.trc.xz")) if folder else []:
        plain = lab.folder / packed.name.removesuffix(".xz")
        with lzma.open(packed) as source, open(plain, "wb") as target:
            shutil.copyfileobj(source, target)
        yield packed.name.removesuffix(".trc.xz"), plain


def took_mb(server):
    """What memcached really allots to items: it gives each class a page even above -m."""
    return int(server.stats("slabs").get("total_malloced", 0)) / 1048576


def play(lab, name, limit_mb, trace, copies, records, pace, ttl):
    with Server(lab, name, Case("misses", ABOUT, {}, server=("-m", str(limit_mb)))) as server:
        result = replay(lab, server.address, trace, copies, records, pace, ttl)
        result["rss"] = server.rss_bytes()
        result["items"] = int(server.stats()["curr_items"])
        result["limit_mb"] = limit_mb
        if name == "memcached":
            result["took_mb"] = took_mb(server)
        return result


def run_row(lab, servers, row, trace, records, pace, ttl, tell):
    limit_mb = row["limit_mb"]
    for name in (s for s in servers if s != "canned"):
        try:
            result = play(lab, name, limit_mb, trace, row["copies"], records, pace, ttl)
        except (BenchError, KeyError, OSError) as error:
            tell(f"  {row['trace']} {row['percent']} % {name}: {error}")
            continue
        row["servers"][name] = result
        tell(f"  {row['trace']} {row['percent']} % -m {limit_mb} {name}: "
             f"miss ratio {result['miss_ratio']:.4f}, {result['seconds']:.0f} s")
        # Equal memory: who takes more than -m sets the limit of the one that follows.
        limit_mb = max(limit_mb, math.ceil(result.get("took_mb", 0) - 0.5))


def run(lab, servers, traces, max_requests, tell):
    jobs = [(name, path, TRACE_RECORDS, False, 0, PERCENTS) for name, path in unpack(traces, lab)]
    jobs += SYNTHETIC
    rows = []
    for name, trace, records, ttl, pace, percents in jobs:
        footprint = replay(lab, "footprint", trace, 1, records)
        for percent in percents:
            wanted = footprint["bytes"] * percent / 100 / 1048576
            copies = max(1, math.ceil(MIN_LIMIT_MB / wanted))
            requests = footprint["records"] * copies
            if requests > max_requests:
                tell(f"  {name} {percent} %: left out, {requests:,} requests")
                continue
            row = {"trace": name, "percent": percent, "limit_mb": round(wanted * copies),
                   "copies": copies, "requests": requests, "servers": {}}
            run_row(lab, servers, row, trace, records, pace, ttl, tell)
            rows.append(row)
    return {"rows": rows}
