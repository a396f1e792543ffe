"""What lines of the journal and of pveproxy's access log mean. Pure: lines in, events out.

Everything in these lines may come from an attacker: a login name, a path. What goes into an alert passes `shown`.
"""
import collections
import re

Event = collections.namedtuple("Event", "kind severity text")

# People without a login can make any number of these; they never use up the whole allowance of alerts.
NOISE = {"failed-logins", "failed-token"}
# Journal entries are believed by the sender's user id, which journald takes from the kernel.
TRUSTED = {
    "sshd": {0},
    "sshd-session": {0},
    "sshd-auth": {0},
    "login": {0},
    "pvedaemon": {0},
    "pveproxy": {0, 33},
    # These begin tasks (tasks.py).
    "pvescheduler": {0},
    "pveupdate": {0},
    "pve-guests": {0},
    "pve-ha-lrm": {0},
    "pvesh": {0},
    "pvenode": {0},
    "qm": {0},
    "qmrestore": {0},
    "pct": {0},
    "vzdump": {0},
}
PLAIN = set(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-@!:/+=,~ ")
MOST_ADDRESSES = 4096
MOST_KEPT = 256
MOST_TOKENS = 512

ACCEPTED = re.compile(r"^Accepted (\S+) for root from (\S+) port \d+")
# The last " from " counts: a login name may hold one.
FAILED = re.compile(r"^Failed (\S+) for (?:invalid user )?(.*) from (\S+) port (\d+)(?: ssh2)?$", re.S)
CLOSED = re.compile(
    r"^(?:Connection (?:closed|reset) by|Disconnected from) (?:authenticating|invalid) user (.*) (\S+) port (\d+)"
    r"(?: \[preauth\])?$",
    re.S,
)
CONSOLE = re.compile(r"^pam_unix\(login:session\): session opened for user root\b")
WEB_FAILED = re.compile(r"^authentication failure; rhost=(\S*) user=(.*) msg=(.*)$", re.S)
WEB_LOGIN = re.compile(r"^<\S+> successful auth for user '(root@pam)'$")
TOKEN_FAILED = re.compile(r"^authentication failure: (.*token.*)$", re.S)
ACCESS = re.compile(r'^(\S+) - (\S+) \[[^\]]*\] "([A-Z]+) (\S+) HTTP/[0-9.]+" ([0-9]{3}) \S+$')
GUEST = re.compile(r"/(?:qemu|lxc)/([0-9]+)(?:/|$)")
# Calls that change nothing: a login, a ticket for a console that is asked for next.
HARMLESS = re.compile(r"^/(?:access/(?:ticket|vncticket)|nodes/[^/]+/(?:vncwebsocket|\S+/vncwebsocket))$")


def shown(value, limit=96):
    """Text that is inert in mail, HTML, JSON, Markdown and terminals: what is not plain becomes %XX."""
    text = value.encode("utf-8", "replace")[: limit + 1]
    more = len(text) > limit
    out = "".join(chr(byte) if byte in PLAIN else "%%%02X" % byte for byte in text[:limit])
    # No mail program shall make a link of it.
    return out.replace("//", "/%2F") + ("..." if more else "")


def plain_address(text):
    """IPv4 mapped into IPv6 is IPv4."""
    return text[7:] if text.startswith("::ffff:") and "." in text else text


def message_of(entry):
    """MESSAGE as text; journald gives bytes as a list of numbers."""
    message = entry.get("MESSAGE")
    if isinstance(message, list):
        try:
            message = bytes(message).decode("utf-8", "replace")
        except (TypeError, ValueError):
            return ""
    return message if isinstance(message, str) else ""


def is_trusted(entry):
    """Whether an entry comes from the program that it names."""
    try:
        return int(entry.get("_UID", -1)) in TRUSTED.get(entry.get("SYSLOG_IDENTIFIER"), ())
    except (TypeError, ValueError):
        return False


class Failures:
    """Counts wrong logins by address within a window; bounded whatever comes. `kept` outlives a restart."""

    def __init__(self, threshold, window, kept=None):
        self.threshold = threshold
        self.window = window
        self.times = collections.OrderedDict()
        self.told = {}
        for address, (times, told) in (kept or {}).items():
            self.times[address] = collections.deque(times, maxlen=self._most(address))
            if told is not None:
                self.told[address] = told

    def kept(self, now):
        """Address -> times and when it was told; the last ones, as far as they still count."""
        counting = [address for address, times in self.times.items() if 0 <= now - times[-1] <= self.window]
        return {address: [list(self.times[address]), self.told.get(address)] for address in counting[-MOST_KEPT:]}

    def _most(self, address):
        return max(self.threshold if address else self.threshold * 10, 1)

    def add(self, address, user, now):
        events = self._count(address, now, "failed logins from " + shown(address), user)
        # Many addresses, each below the threshold.
        return events or self._count("", now, "failed logins from many addresses", user)

    def _count(self, key, now, words, user):
        threshold = self._most(key)
        times = self.times.setdefault(key, collections.deque(maxlen=threshold))
        self.times.move_to_end(key)
        times.append(now)
        while len(self.times) > MOST_ADDRESSES:
            gone, _ = self.times.popitem(last=False)
            self.told.pop(gone, None)
        if len(times) < threshold or now - times[0] > self.window:
            return []
        if 0 <= now - self.told.get(key, now - self.window - 1) <= self.window:
            return []
        self.told[key] = now
        text = "%s: %d within %d minutes, the last for %s" % (words, threshold, self.window // 60, shown(user))
        return [Event("failed-logins", "warning", text)]


class Lines:
    """Judges lines one by one. `tokens` (token -> addresses) is kept over restarts by the caller."""

    def __init__(self, settings, tokens, peers=lambda: set(), failures=None):
        self.failures = Failures(settings["failed-logins"], settings["window-minutes"] * 60, failures)
        self.tokens = tokens
        self.peers = peers
        self.counted = collections.deque(maxlen=256)
        # (time, user, address) of calls that change something below /access, and of root's calls.
        self.writers = collections.deque(maxlen=64)
        self.calls = collections.deque(maxlen=256)

    def journal(self, entry, now):
        """Events of one entry of `journalctl -o json`."""
        if not is_trusted(entry):
            return []
        ident, message = entry["SYSLOG_IDENTIFIER"], message_of(entry)
        if ident.startswith("sshd"):
            return self._sshd(message, now)
        if ident == "login":
            return [Event("root-login", "warning", "root logged in at the console")] if CONSOLE.match(message) else []
        return self._pve(message, now) if ident in ("pvedaemon", "pveproxy") else []

    def _sshd(self, message, now):
        found = ACCEPTED.match(message)
        if found:
            address = plain_address(found.group(2))
            # Members of the cluster use root's SSH all the time.
            if address in self.peers():
                return []
            text = "root logged in by SSH (%s) from %s" % (shown(found.group(1)), shown(address))
            return [Event("root-login", "warning", text)]
        found = FAILED.match(message)
        if found:
            if found.group(1) == "none":
                return []
            self.counted.append((found.group(3), found.group(4)))
            return self.failures.add(plain_address(found.group(3)), found.group(2), now)
        found = CLOSED.match(message)
        # Who has no password to offer only hangs up; whose wrong passwords were counted is not counted again.
        if found and (found.group(2), found.group(3)) not in self.counted:
            return self.failures.add(plain_address(found.group(2)), found.group(1), now)
        return []

    def _pve(self, message, now):
        found = WEB_LOGIN.match(message)
        if found:
            return [Event("root-login", "warning", "root@pam logged in to the web interface or API")]
        found = WEB_FAILED.match(message)
        if found:
            return self.failures.add(plain_address(found.group(1)) or "unknown", found.group(2), now)
        found = TOKEN_FAILED.match(message)
        if found:
            return [Event("failed-token", "warning", "a token was refused: " + shown(found.group(1).strip()))]
        return []

    def access(self, line, now):
        """Events of one line of pveproxy's access log."""
        found = ACCESS.match(line)
        if not found or found.group(2) == "-" or int(found.group(5)) >= 400:
            return []
        address, user, method, path = plain_address(found.group(1)), found.group(2), found.group(3), found.group(4)
        path = re.sub(r"^/api2/[a-z]+", "", path.split("?", 1)[0])
        events = self._token(user, address) if "!" in user else []
        if method == "GET" or HARMLESS.match(path):
            return events
        if path.startswith("/access/"):
            self.writers.append((now, user, address))
        if user == "root@pam" or user.startswith("root@pam!"):
            guest = GUEST.search(path)
            self.calls.append((now, user, guest.group(1) if guest else None))
            text = "%s: %s %s from %s" % (shown(user), method, shown(path, 160), shown(address))
            events.append(Event("root-operations", "notice", text))
        return events

    def _token(self, token, address):
        if token not in self.tokens and len(self.tokens) >= MOST_TOKENS:
            return []
        known = self.tokens.setdefault(token, [])
        if address in known:
            return []
        first = not known
        known.append(address)
        del known[:-64]
        words = "is used for the first time, from" if first else "is used from a new address:"
        text = "token %s %s %s" % (shown(token), words, shown(address))
        return [Event("token-address", "notice" if first else "warning", text)]

    def called(self, start, user, about):
        """Whether a call of the web interface explains a task; each explains one."""
        for guests in ({about}, {None}):
            for call in self.calls:
                at, who, guest = call
                if who == user and guest in guests and abs(start - at) <= 15:
                    self.calls.remove(call)
                    return True
        return False

    def by_whom(self, now):
        """Who changed something below /access just now, as far as this node's access log knows."""
        recent = ["%s from %s" % (shown(user), shown(address)) for at, user, address in self.writers if now - at <= 20]
        if not recent:
            return "not through this node's web interface or API"
        return "by " + ", ".join(list(dict.fromkeys(recent))[-3:])
