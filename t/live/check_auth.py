#!/usr/bin/python3
"""Why somebody cannot log in: --check-auth before the start, the log behind a failed attempt."""

import os

from accounts import OK, REFUSED, Accounts, login, sasldb
from harness import Server, case, folder, run, run_program, user_args, wait_for

REALM = "here.example"


def accounts_of_all_kinds():
    a = Accounts().tenant("shop").user("alice", "shop", "apw").user("old", "shop", "opw")
    a.user("off", "shop", "fpw").user("bare", "shop", None)
    a.keepctl("passwd", "old", "--not-before", "2020-01-01", "--not-after", "2020-02-01",
              "--password-stdin", password="opw")
    a.keepctl("user", "disable", "off")
    a.keepctl("identity", "add", "cron", "--user", "alice", "--unix-uid", os.getuid() + 1)
    return a


def explain(*args, user, env=None):
    """The rows that --check-auth prints, as (mechanism, transport, offer, reason)."""
    status, out, err = run_program(*args, "--realm=" + REALM, "--check-auth=" + user, *user_args(),
                                   env=env)
    assert status == 0, err
    return [tuple(line[:17].split() or ("",)) + tuple(line[17:].split(None, 2)) for line in out.splitlines()]


def reason_of(rows, mechanism, transport):
    found = [row for row in rows if row[:2] == (mechanism, transport)]
    assert len(found) == 1, (mechanism, transport, rows)
    return found[0][2], " ".join(found[0][3:])


@case
def each_user_of_the_tenants_file():
    accounts = accounts_of_all_kinds()
    for user, mechanism, offer, reason in (
            ("alice", "PLAIN", "offered", ""),
            ("alice", "SCRAM-SHA-256", "offered", ""),
            ("alice", "EXTERNAL", "offered", ""),
            ("old", "EXTERNAL", "impossible", "no identity section names this user"),
            ("old", "PLAIN", "impossible", "outside their dates"),
            ("old", "SCRAM-SHA-256", "impossible", "no valid verifier"),
            ("off", "PLAIN", "impossible", "keepctl user enable"),
            ("bare", "PLAIN", "impossible", "no secret: set the password with keepctl passwd"),
            ("nobody", "PLAIN", "impossible", "no such user")):
        found = reason_of(explain(accounts.option, user=user), mechanism, "unix")
        assert found[0] == offer and reason in found[1], (user, mechanism, found)
    found = reason_of(explain(accounts.option, user="alice"), "PLAIN", "tcp")
    assert found[0] == "hidden" and "would show the password" in found[1], found


@case
def sources_of_sasl():
    """Realm, configuration, sasldb and PWDB are named, and what is missing there."""
    path, database = sasldb({"alice": "pw"}, REALM)
    conf = os.path.join(path, "memcached.conf")
    with open(conf, "w") as f:
        f.write("mech_list: PLAIN CRAM-MD5\nsasldb_path: %s\n" % database)
    pwdb = os.path.join(path, "pwdb")
    with open(pwdb, "w") as f:
        f.write("bob:bpw\n")
    env = {"SASL_CONF_PATH": path, "MEMCACHED_SASL_PWDB": pwdb}
    text = str(explain("-S", user="alice", env=env))
    for word in (REALM, conf, database, pwdb, "auxprop"):
        assert word in text, (word, text)
    assert "not readable" not in text, text
    os.unlink(database)
    text = str(explain("-S", user="alice", env={"SASL_CONF_PATH": path}))
    assert "not readable" in text and "MEMCACHED_SASL_PWDB" in text, text
    text = str(explain("-S", user="alice", env={"SASL_CONF_PATH": folder()}))
    assert "no memcached.conf found" in text or "/etc/" in text, text
    status, _, err = run_program("--check-auth=alice", *user_args())
    assert status != 0 and "no login is configured" in err, err


@case
def the_log_tells_the_operator_why():
    """To the client all refusals are the same."""
    accounts = accounts_of_all_kinds()
    with Server(accounts.option) as server:
        for user, password, reason in (("alice", "no", "wrong password"), ("nobody", "x", "unknown user"),
                                       ("old", "opw", "outside their dates"),
                                       ("off", "fpw", "the user is disabled"),
                                       ("bare", "x", "the user has no secret")):
            with server.connect(source="127.9.%d.1" % len(user + password)) as conn:
                assert login(conn, user, password) == REFUSED
            wait_for(lambda: any("event=login_failed" in line and "user=%s " % user in line and
                                 reason in line for line in server.log().splitlines()),
                     "%s: %s" % (user, reason))
        with server.connect(source="127.9.99.1") as conn:
            assert login(conn, "alice", "apw") == OK


run()
