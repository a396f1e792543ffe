"""What root's tasks are: PVE's lists of tasks and the journal in, events out. Pure.

PVE writes a task into `active` when it begins, where the last finished ones stay for a while, and into `index` when it
has ended (pve-common RESTEnvironment.pm, active_workers). PVE does much by itself as root@pam: scheduled backups, guests
at boot, high availability. Only the journal tells who began a task: PVE itself, a call of the web interface or somebody
on the node, by the unit, which nobody but root can choose.
"""
import collections
import re

from events import Event, message_of, shown

UPID = re.compile(
    r"^UPID:[^:\s/]+:[0-9A-Fa-f]{8}:[0-9A-Fa-f]{8,9}:([0-9A-Fa-f]{8}):([^:\s/]+):([^:\s/]*):([^:\s/]+):$", re.A
)
ACTIVE = re.compile(r"^(\S+) [01](?: [0-9A-Fa-f]{8}(?: +(\S.*))?)?$", re.A)
FINISHED = re.compile(r"^(\S+)(?: [0-9A-Fa-f]{8}(?: +(\S.*))?)?$", re.A)
STARTING = re.compile(r"^<[^>]*> starting task (UPID:\S+)$")
# What begins tasks as root@pam without anybody asking for it.
OWN_UNITS = {
    "pvescheduler.service",
    "pve-daily-update.service",
    "pve-guests.service",
    "pve-ha-lrm.service",
    "qmeventd.service",
}
# What begins tasks for the web interface.
WEB_UNITS = {"pvedaemon.service", "pveproxy.service"}
# Seconds until the access log has told of a call, and at most until the journal has told who began a task.
SETTLE = 5
PATIENCE = 60
# Tasks that are remembered, and that wait to be judged.
MOST = 1024


class Tasks:
    """`state` outlives a restart: `seen` (UPIDs), `begun` (UPID, by whom), `waiting` (UPID -> first seen, how it ended)."""

    def __init__(self, state, called):
        self.state = state
        self.called = called
        # Without a state, tasks that are there already are no news.
        self.first = "seen" not in state
        self.seen = collections.OrderedDict.fromkeys(state.setdefault("seen", []))
        self.begun = collections.OrderedDict(state.setdefault("begun", []))
        self.waiting = state.setdefault("waiting", {})

    def journal(self, entry):
        """An entry of somebody who is trusted."""
        if found := STARTING.match(message_of(entry)):
            unit = entry.get("_SYSTEMD_UNIT")
            self.begun[found.group(1)] = "pve" if unit in OWN_UNITS else "web" if unit in WEB_UNITS else "node"
            while len(self.begun) > MOST:
                self.begun.popitem(last=False)

    def active(self, text, now):
        """All of /var/log/pve/tasks/active."""
        for line in text.splitlines():
            if found := ACTIVE.match(line):
                self._see(found.group(1), found.group(2), now)
        self.first = False

    def finished(self, line, now):
        """A new line of /var/log/pve/tasks/index."""
        if found := FINISHED.match(line):
            self._see(found.group(1), found.group(2), now)

    def _see(self, upid, status, now):
        found = UPID.match(upid)
        if not found or found.group(4).split("!", 1)[0] != "root@pam":
            return
        if upid in self.waiting:
            self.waiting[upid][1] = status
        elif upid not in self.seen and not self.first:
            self.waiting[upid] = [now, status]
        self.seen[upid] = None
        self.seen.move_to_end(upid)
        while len(self.seen) > MOST:
            self.seen.popitem(last=False)

    def events(self, now):
        """Of tasks that nobody else told of. Those of the web interface have their line in its access log, with an address."""
        events = []
        for upid, (since, status) in list(self.waiting.items()):
            by = self.begun.get(upid)
            if 0 <= now - since < (SETTLE if by else PATIENCE) and len(self.waiting) <= MOST:
                continue
            del self.waiting[upid]
            start, kind, about, user = UPID.match(upid).groups()
            if by == "pve" or (by == "web" and self.called(int(start, 16), user, about)):
                continue
            about = " " + shown(about) if about else ""
            text = "task of %s: %s%s, %s" % (shown(user), shown(kind), about, shown(status or "running"))
            events.append(Event("root-operations", "notice", text))
        return events

    def kept(self):
        """What outlives a restart."""
        self.state.update(seen=list(self.seen), begun=list(self.begun.items()), waiting=self.waiting)
        return self.state
