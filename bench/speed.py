"""Runs one speed case: the servers start side by side and are loaded in turn, round by round."""

import json
import statistics
import subprocess

from servers import LOAD_CORE, BenchError, Server, core_prefix

ORDER = ("memcached", "keepd", "canned")


def load_arguments(case, **changes):
    merged = {**case.load, "tls": case.transport == "tls", **changes}
    arguments = []
    for name, value in merged.items():
        if value is True:
            arguments.append(f"--{name}")
        elif value is not False:
            arguments += [f"--{name}", str(value)]
    return arguments


def run_load(lab, case, timeout=300, **changes):
    command = core_prefix(LOAD_CORE) + [lab.load, *load_arguments(case, **changes)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
    except subprocess.TimeoutExpired:
        raise BenchError(f"no result after {timeout} s") from None
    if done.returncode != 0:
        raise BenchError(done.stderr.strip()[-300:] or f"load ended with {done.returncode}")
    return json.loads(done.stdout) if done.stdout else {}


def is_session(case):
    return case.load["kind"] in ("connect", "handshake", "resume", "login", "scram-login", "text-login")


def make_script(lab, case):
    """What canned shall answer: the replies of a server with a single key."""
    path = lab.folder / "script"
    if is_session(case):
        path.write_bytes(b"".join(n.to_bytes(8, "little") for n in (1, 4, 4)) + b"MN\r\n")
    else:
        run_load(lab, case, keys=1, emit=str(path))
    return path


def start(lab, case, name):
    if name == "canned":
        if case.transport == "tls":
            lab.make_certificate()
        return Server(lab, name, case, script=make_script(lab, case))
    cores = "0" if case.workers == 1 else "0,1"
    server = Server(lab, name, case, cores=cores)
    if not is_session(case):
        try:
            run_load(lab, case, timeout=900, address=server.plain_address or server.address,
                     only_preload=True, tls=case.transport == "tls" and not server.plain_address)
        except BenchError:
            server.stop()
            raise
    return server


def measure(lab, case, server, seconds):
    changes = dict(address=server.address, server_pid=server.process.pid, seconds=seconds,
                   warmup=max(0.2, seconds / 5), no_preload=True)
    if server.name == "canned" and not is_session(case):
        changes["keys"] = 1
    result = run_load(lab, case, timeout=60 + 3 * seconds, **changes)
    if result["ops"] == 0:
        raise BenchError(f"no operation was completed in {seconds:g} s")
    result["rss"] = server.rss_bytes()
    return result


def run_case(lab, case, names, rounds, seconds, tell):
    """All rounds of all servers: {"rounds": {name: [result...]}, "errors": {name: text}}."""
    running, results, errors = {}, {}, {}
    try:
        for name in names:
            try:
                running[name] = start(lab, case, name)
                results[name] = []
            except BenchError as error:
                errors[name] = str(error)
        for number in range(rounds):
            order = list(running) if number % 2 == 0 else list(running)[::-1]
            for name in order:
                try:
                    results[name].append(measure(lab, case, running[name], seconds))
                    tell(f"  round {number + 1} {name}: "
                         f"{results[name][-1]['ops_per_second']:,.0f}/s")
                except BenchError as error:
                    errors[name] = str(error)
                    running.pop(name).stop()
                    results.pop(name)
    finally:
        for server in running.values():
            server.stop()
    for name, text in errors.items():
        tell(f"  {name}: {text}")
    return {"rounds": results, "errors": errors}


def median(results, key):
    return statistics.median(r[key] for r in results)


def ratios(outcome, above, below):
    """Throughput of one server over another's, round by round."""
    rounds = outcome["rounds"]
    if above not in rounds or below not in rounds:
        return []
    return [a["ops_per_second"] / b["ops_per_second"]
            for a, b in zip(rounds[above], rounds[below])]
