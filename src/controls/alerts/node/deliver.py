"""Ways out: PVE's notification system, mail to root, and a webhook of our own.

The address of the webhook is a secret (most carry a token): it comes from a file of root's alone, goes into no argument
list and no message, and no answer of the other side is followed or shown.
"""
import json
import os
import stat
import subprocess
import urllib.error
import urllib.parse
import urllib.request

WEBHOOK = "/etc/pve-harden/alerts-webhook"
NOTIFY = os.path.join(os.path.dirname(os.path.abspath(__file__)), "notify.pl")
SENDMAIL = "/usr/sbin/sendmail"
TIMEOUT = 20


def by_pve(alert):
    """PVE 8.2 and later: every target whose matcher fits, with `exact:type=pve-harden` and a severity to match on."""
    run(["/usr/bin/perl", NOTIFY], "%s\n%s\n%s" % (alert.severity, alert.title, alert.text))


def by_mail(alert):
    """Mail to root: PVE's forwarder sends it on to the address of root@pam, since 8.1 to every target."""
    head = "To: root\nSubject: %s\nAuto-Submitted: auto-generated\nContent-Type: text/plain; charset=us-ascii\n\n"
    run([SENDMAIL, "-i", "-t"], head % alert.title + alert.text)


def run(command, text):
    if not os.access(command[0], os.X_OK):
        raise OSError("%s is not there" % command[0])
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", "HOME": "/nonexistent"}
    for name in ("STATE_DIRECTORY",):
        if name in os.environ:
            environment[name] = os.environ[name]
    done = subprocess.run(
        command, input=text.encode("ascii", "replace"), timeout=TIMEOUT, env=environment, check=False,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )
    if done.returncode:
        words = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:] or [""]
        raise OSError("%s ended with %d: %s" % (command[-1], done.returncode, words[0][:200]))


def webhook():
    """URL and headers, or None without the file: the first line, then `Name: value` lines."""
    try:
        handle = os.open(WEBHOOK, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    with open(handle, encoding="utf-8") as file:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != 0 or status.st_mode & 0o077:
            raise OSError("%s must be a file of root's with mode 0600" % WEBHOOK)
        lines = [line.strip() for line in file.read(8192).splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    if not lines or urllib.parse.urlsplit(lines[0]).scheme not in ("https", "http"):
        raise OSError("%s holds no http or https address" % WEBHOOK)
    headers = dict(line.split(":", 1) for line in lines[1:] if ":" in line)
    return lines[0], {name.strip(): value.strip() for name, value in headers.items()}


class Stay(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the secret elsewhere."""

    def redirect_request(self, *_):
        return None


def by_webhook(alert, node):
    """POST of a JSON object; `text` and `content` are what chat programs look for."""
    where = webhook()
    if where is None:
        raise OSError("%s is not there" % WEBHOOK)
    body = {"node": node, "severity": alert.severity, "title": alert.title, "message": alert.text}
    body["text"] = body["content"] = "%s\n%s" % (alert.title, alert.text)
    headers = {"Content-Type": "application/json", "User-Agent": "pve-harden-alerts", **where[1]}
    try:
        request = urllib.request.Request(where[0], json.dumps(body).encode("ascii"), headers, method="POST")
        opener = urllib.request.build_opener(Stay, urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=TIMEOUT):
            pass
    except urllib.error.HTTPError as error:
        raise OSError("the webhook answered %d" % error.code) from None
    except (urllib.error.URLError, OSError, ValueError) as error:
        # The texts of some errors hold the address.
        raise OSError("the webhook was not reached (%s)" % type(error).__name__) from None


def ways():
    """Ways an alert shall go."""
    return ["pve", "webhook"] if os.path.lexists(WEBHOOK) else ["pve"]


def send(alert, by, node, say):
    """Tries these ways; mail takes the place of PVE's own where that does not work. Gives those that failed."""
    failed = []
    if "pve" in by and not (
        attempt("PVE's notifications", lambda: by_pve(alert), say) or attempt("mail to root", lambda: by_mail(alert), say)
    ):
        failed.append("pve")
    # Without its file there is nothing to wait for.
    if "webhook" in by and os.path.lexists(WEBHOOK) and not attempt("webhook", lambda: by_webhook(alert, node), say):
        failed.append("webhook")
    return failed


def attempt(name, way, say):
    try:
        way()
    except (OSError, subprocess.SubprocessError, UnicodeError) as error:
        # TimeoutExpired holds the command, which holds no secret.
        say("%s: %s" % (name, str(error)[:300]))
        return False
    say("%s: sent" % name)
    return True
