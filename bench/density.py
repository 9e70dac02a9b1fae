"""Items per MiB of resident memory, at the first eviction and well past it."""

from cases import Case
from servers import BenchError, Server
from speed import run_load

ABOUT = "items per MiB of RSS with -m 256, four key/value sizes"
SIZES = ((16, 8, 2.0), (20, 100, 1.35), (40, 300, 1.28), (60, 1000, 1.08))
LIMIT_MB = 256
PAST_EVICTION = 1.5  # times the items stored when the first one was evicted


def sample(server):
    stats = server.stats()
    rss = server.rss_bytes()
    items = int(stats["curr_items"])
    return {"items": items, "evictions": int(stats["evictions"]), "rss": rss,
            "per_mib": items / (rss / 1048576)}


def fill(lab, name, key_bytes, value_bytes):
    case = Case("density", ABOUT, dict(kind="ms", key_bytes=key_bytes, value_bytes=value_bytes),
                server=("-m", str(LIMIT_MB)))
    step = max(1000, int(LIMIT_MB * 1048576 / (key_bytes + value_bytes + 40) / 100))
    with Server(lab, name, case) as server:
        first, stored, refused, stop_at = None, 0, 0, 100 * step * 10
        while stored < stop_at:
            # memcached refuses a set now and then when it evicts as fast as it can.
            done = run_load(lab, case, address=server.address, keys=step, first_key=stored,
                            only_preload=True, allow_refused=True)
            refused += done["refused"]
            stored += step
            now = sample(server)
            if first is None and now["evictions"] > 0:
                first, stop_at = now, int(stored * PAST_EVICTION)
        return {"first": first or now, "full": now, "refused": refused}


def run(lab, servers, tell):
    rows = []
    for key_bytes, value_bytes, goal in SIZES:
        row = {"key": key_bytes, "value": value_bytes, "goal": goal, "servers": {}}
        for name in (s for s in servers if s != "canned"):
            try:
                row["servers"][name] = fill(lab, name, key_bytes, value_bytes)
                full = row["servers"][name]["full"]
                tell(f"  {key_bytes}/{value_bytes} {name}: {full['per_mib']:,.0f} items per MiB, "
                     f"RSS {full['rss'] / 1048576:.0f} MiB, "
                     f"{row['servers'][name]['refused']:,} sets refused")
            except (BenchError, KeyError, OSError) as error:
                tell(f"  {key_bytes}/{value_bytes} {name}: {error}")
        rows.append(row)
    return {"rows": rows}
