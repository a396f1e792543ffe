"""pve-harden-alerts: tells somebody what happens on this node. Placed by pve-harden (alerts.events).

Reads the journal, pveproxy's access log, the task index, PVE's users and rights, certificates, and the files that runs
of pve-harden left; changes nothing but its own state.
"""
import json
import os
import re
import selectors
import signal
import ssl
import stat
import subprocess
import sys
import time

import deliver
import watch
from digest import Alert, Digest, self_test
from events import TRUSTED, Lines, is_trusted, shown
from tasks import Tasks

SETTINGS = "/etc/pve-harden/alerts.json"
RUNS = "/var/lib/pve-harden/runs"
ACCESS_LOG = "/var/log/pveproxy/access.log"
TASKS = "/var/log/pve/tasks/index"
ACTIVE = "/var/log/pve/tasks/active"
CERTIFICATES = ["/etc/pve/local/pveproxy-ssl.pem", "/etc/pve/local/pve-ssl.pem"]
# Seconds between two looks at PVE's users and rights, and at what changes slowly.
LOOK = 5
SLOW = 600
# Seconds between two attempts to deliver, and how many undelivered alerts are kept.
RETRY = 60
MOST_UNSENT = 20
# Bytes of a log that are read at once; more waits for the next turn.
CHUNK = 1 << 20


def say(text):
    print(text, file=sys.stderr, flush=True)


def read(path, limit=1 << 22):
    """A file's text; empty when it is not there, None when it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(limit)
    except FileNotFoundError:
        return ""
    except OSError:
        return None


def open_log(path):
    """www-data owns the folder of its log: a pipe in the log's place must not hold us up, nor a link lead elsewhere."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError("%s is no file" % path)
    return open(handle, "rb")


def node_name():
    return shown(os.uname().nodename.split(".")[0])


class Follow:
    """A log that grows and is rotated; where it was read to is kept over restarts."""

    def __init__(self, path, place):
        self.path = path
        self.place = place

    def lines(self):
        try:
            file = open_log(self.path)
        except OSError:
            # A log that comes into being is read from its beginning.
            self.place.setdefault("inode", 0)
            return []
        with file:
            status = os.fstat(file.fileno())
            if "inode" not in self.place:
                # What happened before we were here is not news.
                self.place.update(inode=status.st_ino, offset=status.st_size)
            lines = []
            if self.place["inode"] != status.st_ino:
                lines += self.rest_of_rotated() if self.place["inode"] else []
                self.place.update(inode=status.st_ino, offset=0)
            if status.st_size < self.place["offset"]:
                self.place["offset"] = 0
            return lines + self.take(file)

    def rest_of_rotated(self):
        try:
            with open_log(self.path + ".1") as file:
                return self.take(file) if os.fstat(file.fileno()).st_ino == self.place["inode"] else []
        except OSError:
            return []

    def take(self, file):
        file.seek(self.place["offset"])
        data = file.read(CHUNK)
        end = data.rfind(b"\n") + 1
        if end == 0 and len(data) == CHUNK:
            end = CHUNK
        self.place["offset"] += end
        return data[:end].decode("utf-8", "replace").splitlines()


class Journal:
    """journalctl, started again when it ends.

    `--follow` alone shows this boot only (always in systemd 252): what came just before a restart of the node would
    never be read. `--merge` shows all boots, and journals of other machines too, if any are kept here, hence the match.
    """

    def __init__(self, state):
        self.state = state
        self.process = None
        self.began = 0
        self.rest = b""
        self.selector = selectors.DefaultSelector()

    def start(self, now):
        command = ["/usr/bin/journalctl", "--follow", "--merge", "--output=json", "--quiet", "--no-pager"]
        cursor = self.state.get("cursor")
        # A cursor that the journal no longer has makes journalctl end at once.
        if cursor and now - self.began > 5:
            command.append("--after-cursor=" + cursor)
        elif cursor:
            command += ["--lines=all", "--since=-5min"]
        else:
            # Since the first start, so that nothing is lost if we stop before the first entry.
            command += ["--lines=all", "--since=@%d" % self.state.setdefault("since", int(now))]
        matches = ["SYSLOG_IDENTIFIER=" + name for name in TRUSTED]
        if machine := (read("/etc/machine-id") or "").strip():
            matches.append("_MACHINE_ID=" + machine)
        self.began = now
        self.process = subprocess.Popen(
            command + matches, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env={"LC_ALL": "C"},
        )
        self.selector.register(self.process.stdout, selectors.EVENT_READ)

    def entries(self, wait):
        now = time.time()
        if self.process is None:
            if now - self.began < 2:
                time.sleep(wait)
                return
            self.start(now)
        if not self.selector.select(wait):
            return
        data = os.read(self.process.stdout.fileno(), CHUNK)
        if not data:
            self.stop()
            return
        *lines, self.rest = (self.rest + data).split(b"\n")
        self.rest = self.rest[-CHUNK:]
        for line in lines:
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if isinstance(entry, dict):
                self.state["cursor"] = entry.get("__CURSOR", self.state.get("cursor"))
                yield entry

    def stop(self):
        if self.process:
            self.selector.unregister(self.process.stdout)
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()
        self.process, self.rest = None, b""


class Service:
    def __init__(self, settings, folder):
        self.settings = settings
        self.path = os.path.join(folder, "state.json")
        try:
            self.state = json.loads(read(self.path) or "{}")
        except ValueError:
            say("the state was damaged; starting anew")
            self.state = {}
        part = self.state.setdefault
        self.journal = Journal(part("journal", {}))
        self.access = Follow(ACCESS_LOG, part("access", {}))
        self.index = Follow(TASKS, part("tasks", {}))
        self.active = None
        self.lines = Lines(settings, part("token-addresses", {}), self.peers, part("failures", {}))
        self.tasks = Tasks(part("root-tasks", {}), self.lines.called)
        self.digest = Digest(node_name(), settings["most-per-hour"], part("digest", {}))
        # Alerts with the ways that did not take them yet.
        self.unsent = part("unsent", [])
        self.members = set()
        self.looked = self.slow = self.saved = self.tried = 0
        self.written = None
        self.ended = False

    def peers(self):
        return self.members

    def add(self, events, now):
        for event in events:
            if event.kind in self.settings["kinds"]:
                self.digest.add(event, now)

    def turn(self):
        for entry in self.journal.entries(1.0):
            now = time.time()
            self.add(self.lines.journal(entry, moment(entry, now)), now)
            if is_trusted(entry):
                self.tasks.journal(entry)
        now = time.time()
        for line in self.access.lines():
            self.add(self.lines.access(line, now), now)
        self.look_at_tasks(now)
        # A clock that was set back must not stop the looks.
        if not 0 <= now - self.looked < LOOK:
            self.looked = now
            self.look(now)
        if not 0 <= now - self.slow < SLOW:
            self.slow = now
            self.look_slowly(now)
        self.send(now)
        if not 0 <= now - self.saved < LOOK:
            self.save(now)

    def look_at_tasks(self, now):
        for line in self.index.lines():
            self.tasks.finished(line, now)
        try:
            with open_log(ACTIVE) as file:
                status = os.fstat(file.fileno())
                version = (status.st_ino, status.st_mtime_ns, status.st_size)
                if version != self.active:
                    self.active = version
                    self.tasks.active(file.read(CHUNK).decode("utf-8", "replace"), now)
        except FileNotFoundError:
            self.tasks.active("", now)
        except OSError:
            pass
        self.add(self.tasks.events(now), now)

    def look(self, now):
        self.members = self.read_members()
        text = read("/etc/pve/user.cfg")
        # Without pmxcfs everything would seem to be gone.
        if not os.path.ismount("/etc/pve") or not text:
            return
        whom = self.lines.by_whom(now)
        mine = self.speaks_for_cluster()
        found = watch.users(text)
        self.compare("users", found, lambda old: watch.changes(old, found, whom), mine, now)
        factors = watch.factors(read("/etc/pve/priv/tfa.cfg") or "")
        if factors is not None:
            self.compare("factors", factors, lambda old: watch.factor_changes(old, factors, whom), mine, now)
        secrets = watch.secrets(read("/etc/pve/priv/token.cfg") or "")
        self.compare("secrets", secrets, lambda old: watch.secret_changes(old, secrets, whom), mine, now)

    def compare(self, name, found, changes, mine, now):
        before = self.state.get(name)
        self.state[name] = found
        if before is not None and before != found and mine:
            self.add(changes(before), now)

    def read_members(self):
        try:
            nodes = json.loads(read("/etc/pve/.members") or "{}").get("nodelist", {})
            addresses = {one["ip"] for one in nodes.values() if "ip" in one}
        except (ValueError, AttributeError, TypeError):
            addresses = set()
        links = re.findall(r"^\s*ring\d+_addr:\s*(\S+)", read("/etc/pve/corosync.conf") or "", re.M)
        return addresses | set(links)

    def speaks_for_cluster(self):
        """What all members see is told by the first that is online."""
        try:
            document = json.loads(read("/etc/pve/.members") or "{}")
            online = [(one["id"], name) for name, one in document["nodelist"].items() if one.get("online")]
            return min(online)[1] == document["nodename"]
        except (ValueError, KeyError, TypeError, AttributeError):
            return True

    def look_slowly(self, now):
        told = self.state.setdefault("told", {})

        def mark(name):
            return told.setdefault(name, {})

        for path in CERTIFICATES:
            if (end := certificate_end(path)) is not None:
                days = self.settings["certificate-days"]
                self.add(watch.certificate_end(path, end, now, days, mark("certificates")), now)
        if "users" in self.state and self.speaks_for_cluster():
            tokens = self.state["users"]["tokens"]
            self.add(watch.token_ends(tokens, now, self.settings["token-days"], mark("ends")), now)
            since, days = self.state.setdefault("since", {}), self.settings["rotate-days"]
            made = watch.token_days(read("/etc/pve/user.cfg") or "")
            self.add(watch.token_ages(self.state.get("secrets", {}), made, since, now, days, mark("ages")), now)
        self.look_at_drift(mark("drift"), now)

    def look_at_drift(self, told, now):
        try:
            wanted = watch.left_by_runs(RUNS, now)
        except OSError:
            return
        if wanted is None:
            self.slow = now - SLOW + 60
            return
        mounted = os.path.ismount("/etc/pve")
        self.add(watch.drift(wanted, told, lambda path: mounted or not path.startswith("/etc/pve/")), now)

    def send(self, now):
        if self.unsent and not 0 <= now - self.tried < RETRY:
            self.send_again(now)
        if self.digest.due(now):
            alert = self.digest.take(now)
            one = [list(alert), deliver.ways()]
            self.unsent.append(one)
            del self.unsent[:-MOST_UNSENT]
            # A stop in the middle means twice rather than never.
            self.save(now)
            one[1] = deliver.send(alert, one[1], self.digest.node, say)
            if one[1]:
                self.tried = now
            else:
                self.unsent.remove(one)

    def send_again(self, now):
        """Until a way fails again: a receiver that does not answer must not hold us up once for each alert."""
        self.tried = now
        failed = set()
        for one in list(self.unsent):
            again = [way for way in one[1] if way not in failed]
            still = deliver.send(Alert(*one[0]), again, self.digest.node, say)
            failed.update(still)
            one[1] = [way for way in one[1] if way in failed]
            if not one[1]:
                self.unsent.remove(one)

    def save(self, now):
        self.saved = now
        self.state["digest"] = self.digest.kept()
        self.state["failures"] = self.lines.failures.kept(now)
        self.state["root-tasks"] = self.tasks.kept()
        text = json.dumps(self.state)
        if text == self.written:
            return
        with open(self.path + ".new", "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(self.path + ".new", self.path)
        self.written = text


def moment(entry, now):
    """When an entry was written, in seconds since 1970; what is read late must not seem to have happened at once."""
    try:
        at = int(entry["__REALTIME_TIMESTAMP"]) / 1e6
    except (KeyError, TypeError, ValueError):
        return now
    return at if at <= now else now


def certificate_end(path):
    """Seconds since 1970, None without the file."""
    if not os.path.exists(path):
        return None
    done = subprocess.run(
        ["/usr/bin/openssl", "x509", "-noout", "-enddate", "-in", path], capture_output=True, text=True, timeout=20,
        check=False,
    )
    try:
        return ssl.cert_time_to_seconds(done.stdout.strip().split("=", 1)[1])
    except (IndexError, ValueError):
        return None


def main(arguments):
    os.umask(0o077)
    if arguments == ["--test-alert"]:
        ways = deliver.ways()
        failed = deliver.send(self_test(node_name()), ways, node_name(), say)
        say("an alert was sent" if not failed else "nobody was told: no way out works" if failed == ways
            else "an alert was sent, but not by every way")
        return 1 if failed else 0
    if arguments != ["--service"]:
        say("usage: pve-harden-alerts --test-alert\nthe service is pve-harden-alerts.service")
        return 2
    with open(SETTINGS, encoding="utf-8") as file:
        settings = json.load(file)
    service = Service(settings, os.environ.get("STATE_DIRECTORY", "/var/lib/pve-harden-alerts"))

    def stop(*_):
        # What was read is judged before the end, or it would be lost.
        service.ended = True

    signal.signal(signal.SIGTERM, stop)
    try:
        while not service.ended:
            service.turn()
    finally:
        service.journal.stop()
        service.save(time.time())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
