"""Gathers events into few alerts. Pure: events and the time in, texts out; bounded in number and size."""
import collections

from events import NOISE, Event

SEVERITIES = ["info", "notice", "warning", "error"]
# Seconds in which events come together before the first alert, and between two alerts.
GATHER = 3
GAP = 30
HOUR = 3600
# Different lines shown of each kind; the rest is counted.
LINES = 8

Alert = collections.namedtuple("Alert", "severity title text")


class Digest:
    """Events wait here. `sent` are the times of the alerts of the last hour."""

    def __init__(self, node, most_per_hour, kept=None):
        self.node = node
        self.most = max(2, most_per_hour)
        kept = kept or {}
        self.pending = {
            kind: {"count": int(one["count"]), "severity": one["severity"], "lines": dict(one["lines"])}
            for kind, one in kept.get("pending", {}).items()
        }
        self.sent = [float(at) for at in kept.get("sent", [])][-self.most:]
        self.first = kept.get("first")

    def kept(self):
        """What outlives a restart."""
        return {"pending": self.pending, "sent": self.sent, "first": self.first}

    def add(self, event, now):
        if not self.pending:
            self.first = now
        kind = self.pending.setdefault(event.kind, {"count": 0, "severity": "info", "lines": {}})
        kind["count"] += 1
        kind["severity"] = max(kind["severity"], event.severity, key=SEVERITIES.index)
        if event.text in kind["lines"] or len(kind["lines"]) < LINES:
            kind["lines"][event.text] = kind["lines"].get(event.text, 0) + 1

    def due(self, now):
        """Whether an alert may go now."""
        if not self.pending:
            return False
        # A clock that was set back must not silence us.
        self.sent = [at for at in self.sent if now - HOUR < at <= now]
        most = self.most
        if set(self.pending) <= NOISE:
            # Strangers cannot use up what is meant for people with a login.
            most = self.most // 2
        if len(self.sent) >= most or (self.sent and now - self.sent[-1] < GAP):
            return False
        return not 0 <= now - (self.first or 0) < GATHER

    def take(self, now):
        """The alert, and an empty digest."""
        kinds = sorted(self.pending.items(), key=lambda one: (-SEVERITIES.index(one[1]["severity"]), one[0]))
        severity = kinds[0][1]["severity"]
        total = sum(one["count"] for _, one in kinds)
        names = ", ".join(kind for kind, _ in kinds[:4]) + (", ..." if len(kinds) > 4 else "")
        title = "%s: %s" % (self.node, names) if total == 1 else "%s: %d events: %s" % (self.node, total, names)
        text = []
        for kind, one in kinds:
            text.append("%s (%d)" % (kind, one["count"]))
            for line, count in one["lines"].items():
                text.append("  %s%s" % (line, " (%d times)" % count if count > 1 else ""))
            more = one["count"] - sum(one["lines"].values())
            if more > 0:
                text.append("  and %d more" % more)
        self.pending = {}
        self.first = None
        self.sent.append(now)
        return Alert(severity, title, "\n".join(text) + "\n")


def self_test(node):
    """The alert of --test-alert."""
    digest = Digest(node, 2)
    digest.add(Event("test", "notice", "this is a test: alerts of pve-harden arrive here"), 0)
    return digest.take(0)
