"""What two readings of the node differ in: PVE's users and rights, second factors, tokens, certificates, drift.

Pure, but for `drift` and `digest_of`, which read the files that runs of pve-harden left.
"""
import calendar
import datetime
import grp
import hashlib
import json
import os
import pwd
import re
import stat
import urllib.parse

from events import Event, shown

DAY = 86400
# The end of a token's comment: `[made 2026-11-22, rotated 2026-12-22]`.
NOTES = re.compile(r"\[([^\[\]]*)\]$")


def users(text):
    """/etc/pve/user.cfg: users, tokens, groups, roles and single rights."""
    found = {"users": {}, "tokens": {}, "groups": {}, "roles": {}, "acl": []}
    for line in text.splitlines():
        part = line.split(":")
        if part[0] == "user" and len(part) > 3:
            found["users"][part[1]] = part[2]
        elif part[0] == "token" and len(part) > 3:
            found["tokens"][part[1]] = [int(part[2]) if part[2].isdigit() else 0, part[3]]
        elif part[0] == "group" and len(part) > 2:
            found["groups"][part[1]] = words(part[2])
        elif part[0] == "role" and len(part) > 2:
            found["roles"][part[1]] = words(part[2])
        elif part[0] == "acl" and len(part) > 4:
            found["acl"] += [
                [part[2], who, role, part[1]] for who in words(part[3]) for role in words(part[4])
            ]
    found["acl"].sort()
    return found


def words(text):
    return sorted(word for word in text.replace(";", ",").split(",") if word)


def secrets(text):
    """Digests of tokens' secrets (/etc/pve/priv/token.cfg): random UUIDs, of which a digest tells nothing."""
    found = {}
    for line in text.splitlines():
        part = line.split()
        if len(part) == 2:
            found[part[0]] = hashlib.sha256(part[1].encode()).hexdigest()
    return found


def factors(text):
    """Ids of second factors by user (/etc/pve/priv/tfa.cfg)."""
    try:
        document = json.loads(text) if text.strip() else {}
        people = document.get("users", {})
        return {user: sorted(factor_ids(kinds)) for user, kinds in people.items() if isinstance(kinds, dict)}
    except (ValueError, AttributeError):
        return None


def factor_ids(kinds):
    for kind in ("totp", "webauthn", "u2f", "yubico"):
        entries = kinds.get(kind)
        for entry in entries if isinstance(entries, list) else []:
            if isinstance(entry, dict):
                yield "%s %s" % (kind, entry.get("id", ""))
    if kinds.get("recovery"):
        yield "recovery keys"


def changes(before, after, whom):
    """Events of a changed user.cfg."""
    events = []

    def tell(kind, severity, text):
        events.append(Event(kind, severity, "%s, %s" % (text, whom)))

    for name, old, new in differing(before["users"], after["users"]):
        if old is None:
            tell("users", "warning", "new user " + shown(name))
        elif new is None:
            tell("users", "warning", "user %s is gone" % shown(name))
        else:
            tell("users", "warning", "user %s is %s" % (shown(name), "enabled" if new == "1" else "disabled"))
    for name, old, new in differing(before["tokens"], after["tokens"]):
        if old is None:
            kind = "with its own rights" if new[1] == "1" else "with all rights of its user"
            tell("tokens", "warning", "new token %s, %s" % (shown(name), kind))
        elif new is None:
            tell("tokens", "warning", "token %s is gone" % shown(name))
        elif old[1] != new[1] and new[1] != "1":
            tell("tokens", "warning", "token %s has all rights of its user now" % shown(name))
        else:
            tell("tokens", "warning", "token %s has another end or separation" % shown(name))
    for what in ("groups", "roles"):
        for name, old, new in differing(before[what], after[what]):
            more = sorted(set(new or []) - set(old or []))
            less = sorted(set(old or []) - set(new or []))
            detail = ["+" + shown(one) for one in more[:12]] + ["-" + shown(one) for one in less[:12]]
            tell("permissions", "warning", "%s %s: %s" % (what[:-1], shown(name), " ".join(detail) or "changed"))
    old, new = {tuple(one) for one in before["acl"]}, {tuple(one) for one in after["acl"]}
    for word, some in (("new right", new - old), ("right is gone", old - new)):
        for path, who, role, propagate in sorted(some):
            below = " and below" if propagate == "1" else ""
            text = "%s: %s has %s on %s%s" % (word, shown(who), shown(role), shown(path), below)
            tell("permissions", "warning", text)
    return events


def differing(before, after):
    for name in sorted(set(before) | set(after)):
        old, new = before.get(name), after.get(name)
        if old != new:
            yield name, old, new


def factor_changes(before, after, whom):
    """Second factors that are gone, or new."""
    events = []
    for user in sorted(set(before) | set(after)):
        old, new = set(before.get(user, ())), set(after.get(user, ()))
        for word, some, severity in (("removed from", old - new, "error"), ("added to", new - old, "notice")):
            for factor in sorted(some):
                text = "second factor (%s) %s %s, %s" % (shown(factor, 48), word, shown(user), whom)
                events.append(Event("second-factors", severity, text))
    return events


def secret_changes(before, after, whom):
    """Tokens that have another secret."""
    both = sorted(name for name in before if name in after and before[name] != after[name])
    return [Event("tokens", "warning", "token %s has a new secret, %s" % (shown(name), whom)) for name in both]


def token_ends(tokens, now, days, told):
    """Tokens that end soon: told at the threshold, a week before, a day before, and when they have ended."""
    events, keep = [], {}
    for name, (expire, _) in sorted(tokens.items()):
        if not expire:
            continue
        left = (expire - now) / DAY
        stages = [stage for stage in sorted({days, 7, 1, 0}) if left <= stage <= days]
        if not stages:
            continue
        mark = "%d/%d" % (expire, stages[0])
        keep[name] = mark
        if told.get(name) != mark:
            words = "has expired" if left <= 0 else "expires in %d days" % max(1, round(left))
            events.append(Event("token-expiry", "warning", "token %s %s" % (shown(name), words)))
    told.clear()
    told.update(keep)
    return events


def token_days(text):
    """When a token got its secret, as `pve-harden token` writes into its comment: PVE keeps no date of a token."""
    found = {}
    for line in text.splitlines():
        part = line.split(":")
        if part[0] != "token" or len(part) < 5 or not (notes := NOTES.search(urllib.parse.unquote(part[4]))):
            continue
        days = dict(word.split(" ", 1) for word in notes.group(1).split(", ") if " " in word)
        try:
            day = datetime.date.fromisoformat(days.get("rotated") or days["made"])
            found[part[1]] = calendar.timegm(day.timetuple())
        except (KeyError, ValueError):
            pass
    return found


def token_ages(digests, made, since, now, days, told):
    """Tokens with the same secret for longer than `days`; told once a month.

    A secret is as old as its token's comment says (`made`); without it, and after a change that was seen here, as long as
    this service knows it.
    """
    events = []
    for name in [name for name in since if name not in digests]:
        del since[name]
        told.pop(name, None)
    for name, digest in sorted(digests.items()):
        if name not in since:
            since[name] = [digest, min(now, made.get(name, now))]
        elif since[name][0] != digest:
            since[name] = [digest, now]
            told.pop(name, None)
        age = now - since[name][1]
        if days and age > days * DAY and now - told.get(name, 0) > 30 * DAY:
            told[name] = now
            text = "token %s is due for rotation: the same secret for %d days" % (shown(name), age // DAY)
            events.append(Event("token-rotation", "notice", text))
    return events


def certificate_end(name, end, now, days, told):
    """A certificate that ends soon: told once a day."""
    left = (end - now) / DAY
    if left > days or (name in told and now - told[name] < DAY):
        return []
    told[name] = now
    words = "has expired" if left <= 0 else "expires in %d days" % round(left)
    return [Event("certificate", "error" if left <= 3 else "warning", "certificate %s %s" % (shown(name), words))]


def left_by_runs(folder, now):
    """What committed runs left: path -> digest, mode and owner. None while a run is at work."""
    wanted = {}
    for run in sorted(os.listdir(folder)):
        place = os.path.join(folder, run)
        if any(os.path.exists(os.path.join(place, word)) for word in ("open", "undoing", "new")):
            return None
        try:
            committed = os.stat(os.path.join(place, "committed")).st_ctime
        except OSError:
            continue
        try:
            with open(os.path.join(place, "state.json"), encoding="utf-8") as file:
                files = json.load(file)["files"]
                wanted.update({path: left for path, left in files.items() if isinstance(left, str)})
        except (OSError, ValueError, KeyError, AttributeError):
            # It is written right after the commit; a run that never got it says nothing.
            if now - committed < 300:
                return None
    return wanted


def digest_of(path):
    """As a run writes it down: "absent", "directory MODE OWNER GROUP", "SHA256 MODE OWNER GROUP"."""
    try:
        # A pipe in the file's place must not hold us up, nor a link lead elsewhere.
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return "absent"
    except OSError:
        return None
    with open(handle, "rb") as file:
        status = os.fstat(handle)
        owner = "%o %s %s" % (stat.S_IMODE(status.st_mode), name_of(pwd.getpwuid, status.st_uid),
                              name_of(grp.getgrgid, status.st_gid))
        if not stat.S_ISREG(status.st_mode) or status.st_size > 1 << 26:
            return None
        digest = hashlib.sha256()
        while block := file.read(1 << 16):
            digest.update(block)
        return "%s %s" % (digest.hexdigest(), owner)


def name_of(look_up, number):
    try:
        return look_up(number)[0]
    except KeyError:
        return "UNKNOWN"


def drift(wanted, told, readable=lambda path: True):
    """Files that are not as the last run left them; each state of a file is told once."""
    events, keep = [], {}
    for path, left in sorted(wanted.items()):
        # Directories come and go with others' files in them; what is not there to be read says nothing.
        if left.startswith("directory") or not readable(path):
            continue
        found = digest_of(path)
        if found is None or found == left:
            continue
        keep[path] = found
        if told.get(path) != found:
            words = "is gone" if found == "absent" else "is back" if left == "absent" else "changed"
            if found.split()[:1] == left.split()[:1] and found != "absent":
                words = "has another mode or owner"
            text = "drift: %s %s since the last run of pve-harden" % (shown(path, 160), words)
            events.append(Event("drift", "warning", text))
    told.clear()
    told.update(keep)
    return events
