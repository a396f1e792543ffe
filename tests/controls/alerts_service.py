"""The service of alerts.events on real lines, outside of a node. Started by tests/controls/alerts.rs."""
import importlib.util
import json
import os
import random
import re
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../../src/controls/alerts/node"))

import digest
import events
import tasks
import watch

loader = importlib.util.spec_from_file_location("service", os.path.join(sys.path[0], "__main__.py"))
service = importlib.util.module_from_spec(loader)
loader.loader.exec_module(service)

SETTINGS = {"failed-logins": 3, "window-minutes": 15}
SAFE = re.compile(r"^[A-Za-z0-9._\-@!:/+=,~ %()']*$")


def entry(ident, message, uid="0"):
    return {"SYSLOG_IDENTIFIER": ident, "_UID": uid, "MESSAGE": message}


class Lines(unittest.TestCase):
    def setUp(self):
        self.lines = events.Lines(SETTINGS, {}, lambda: {"10.77.0.3"})

    def journal(self, *words, now=0, **more):
        return self.lines.journal(entry(*words, **more), now)

    def kinds(self, *words, **more):
        return [event.kind for event in self.journal(*words, **more)]

    def test_root_logins(self):
        line = "Accepted publickey for root from %s port 51022 ssh2: ED25519 SHA256:b3Blbg"
        self.assertEqual(self.kinds("sshd", line % "192.0.2.7"), ["root-login"])
        self.assertEqual(self.kinds("sshd-session", "Accepted password for root from 2001:db8::7 port 1 ssh2"), ["root-login"])
        self.assertEqual(self.kinds("sshd", line % "10.77.0.3"), [], "a member of the cluster")
        self.assertEqual(self.kinds("sshd", (line % "192.0.2.7").replace("root", "ops")), [])
        self.assertEqual(self.kinds("pvedaemon", "<root@pam> successful auth for user 'root@pam'"), ["root-login"])
        self.assertEqual(self.kinds("pvedaemon", "<root@pam> successful auth for user 'alice@pve'"), [])
        console = "pam_unix(login:session): session opened for user root(uid=0) by LOGIN(uid=0)"
        self.assertEqual(self.kinds("login", console), ["root-login"])

    def test_who_is_not_root_cannot_forge_an_entry(self):
        line = "Accepted password for root from 192.0.2.7 port 1 ssh2"
        self.assertEqual(self.kinds("sshd", line, uid="1000"), [])
        self.assertEqual(self.kinds("sshd", line, uid=None), [])
        self.assertEqual(self.kinds("pvedaemon", "<root@pam> successful auth for user 'root@pam'", uid="33"), [])

    def test_three_wrong_logins_are_one_event(self):
        line = "Failed password for invalid user admin from 203.0.113.9 port %d ssh2"
        found = [self.journal("sshd-session", line % port, now=port) for port in range(1, 9)]
        self.assertEqual([len(one) for one in found], [0, 0, 1, 0, 0, 0, 0, 0])
        self.assertIn("failed logins from 203.0.113.9: 3 within 15 minutes", found[2][0].text)
        web = "authentication failure; rhost=::ffff:10.77.0.2 user=alice@pve msg=invalid credentials"
        found = [self.journal("pvedaemon", web, now=at) for at in (0, 800, 1600, 1700)]
        self.assertEqual([len(one) for one in found], [0, 0, 0, 1], "within 15 minutes")

    def test_wrong_logins_count_over_a_restart(self):
        kept = lambda lines, now: json.loads(json.dumps(lines.failures.kept(now)))
        line = "Failed password for root from 203.0.113.9 port %d ssh2"
        self.assertEqual(self.kinds("sshd", line % 1, now=10) + self.kinds("sshd", line % 2, now=12), [])
        lines = events.Lines(SETTINGS, {}, failures=kept(self.lines, 13))
        third = entry("sshd", line % 3)
        self.assertEqual([one.kind for one in lines.journal(third, 14)], ["failed-logins"])
        again = events.Lines(SETTINGS, {}, failures=kept(lines, 15))
        self.assertEqual(again.journal(third, 16), [], "told already")
        self.assertEqual(kept(again, 5000), {}, "what no longer counts")
        for last in range(2 * events.MOST_KEPT):
            again.failures.add("2001:db8::%x" % last, "root", 20)
        self.assertLessEqual(len(again.failures.kept(20)), events.MOST_KEPT)

    def test_a_connection_is_counted_once(self):
        failed = "Failed password for root from 203.0.113.9 port 4 ssh2"
        closed = "Connection closed by authenticating user root 203.0.113.9 port %d [preauth]"
        self.assertEqual(self.kinds("sshd", failed) + self.kinds("sshd", closed % 4) + self.kinds("sshd", closed % 5), [])
        self.assertEqual(self.kinds("sshd", closed % 6), ["failed-logins"])

    def test_a_login_name_cannot_move_the_blame(self):
        line = "Failed password for invalid user x from 10.0.0.1 port 22 ssh2 from 203.0.113.9 port 4 ssh2"
        found = [self.journal("sshd", line) for _ in range(3)][2]
        self.assertIn("failed logins from 203.0.113.9", found[0].text)

    def test_many_addresses_below_the_threshold(self):
        line = "Failed password for root from 203.0.113.%d port 4 ssh2"
        found = [self.kinds("sshd", line % last) for last in range(60)]
        self.assertEqual(sum(map(len, found)), 1)
        for last in range(3 * events.MOST_ADDRESSES):
            self.lines.failures.add("2001:db8::%x" % last, "root", 0)
        self.assertLessEqual(len(self.lines.failures.times), events.MOST_ADDRESSES)

    def test_refused_tokens(self):
        self.assertEqual(self.kinds("pveproxy", "authentication failure: invalid token value!", uid="33"), ["failed-token"])
        self.assertEqual(self.kinds("pveproxy", "authentication failure: invalid PVE ticket", uid="33"), [])

    def access(self, user, request="GET /api2/json/version HTTP/1.1", address="::ffff:10.77.0.2", code=200):
        line = '%s - %s [21/11/2026:23:01:20 +0000] "%s" %d 690' % (address, user, request, code)
        return [event.kind for event in self.lines.access(line, 1000)]

    def test_a_token_from_a_new_address(self):
        self.assertEqual(self.access("svc@pve!ci"), ["token-address"])
        self.assertEqual(self.access("svc@pve!ci"), [])
        self.assertEqual(self.access("svc@pve!ci", address="192.0.2.9", code=401), [])
        found = self.lines.access('192.0.2.9 - svc@pve!ci [x] "GET /a HTTP/1.1" 200 -', 0)
        self.assertEqual([one.text for one in found], ["token svc@pve!ci is used from a new address: 192.0.2.9"])

    def test_what_root_does(self):
        start = "POST /api2/json/nodes/pve1/qemu/100/status/start HTTP/1.1"
        self.assertEqual(self.access("root@pam", start), ["root-operations"])
        self.assertEqual(self.access("alice@pve", start), [])
        self.assertEqual(self.access("root@pam", start, code=403), [])
        self.assertEqual(self.access("root@pam", "POST /api2/json/access/ticket HTTP/1.1"), [])
        self.assertEqual(self.access("root@pam"), [])

    START = 0x690F0000

    def upid(self, kind="qmstart", about="100", user="root@pam", start=START):
        return "UPID:pve1:000003E8:0001A2B3:%08X:%s:%s:%s:" % (start, kind, about, user)

    def tasks(self, state=None):
        some = tasks.Tasks({} if state is None else state, self.lines.called)
        some.active("", 0)
        return some

    def texts(self, some, now):
        return [one.text for one in some.events(now)]

    def test_a_task_is_told_once_while_it_runs(self):
        some = self.tasks()
        some.journal(entry("qm", "<root@pam> starting task " + self.upid()))
        some.active(self.upid() + " 0\n" + self.upid(user="alice@pve") + " 0\nrubbish\n", 10)
        self.assertEqual(self.texts(some, 12), [], "the access log may still tell who asked")
        self.assertEqual(self.texts(some, 15), ["task of root@pam: qmstart 100, running"])
        again = self.tasks(json.loads(json.dumps(some.kept())))
        again.finished(self.upid() + " 690F0100 OK", 20)
        again.active(self.upid() + " 1 690F0100 OK\n", 20)
        self.assertEqual(self.texts(again, 30), [], "told before the restart")
        again.finished(self.upid("vzdump", user="root@pam!ci") + " 690F0010 job errors", 31)
        self.assertEqual(self.texts(again, 40), [], "the journal may still tell who began it")
        self.assertEqual(self.texts(again, 91), ["task of root@pam!ci: vzdump 100, job errors"])

    def test_what_ran_before_is_no_news(self):
        some = tasks.Tasks({}, self.lines.called)
        some.active(self.upid() + " 0\n", 10)
        some.finished(self.upid() + " 690F0100 OK", 20)
        self.assertEqual(self.texts(some, 99), [])

    def test_what_pve_does_by_itself_is_no_news(self):
        some = self.tasks()
        line = {**entry("pvescheduler", "<root@pam> starting task " + self.upid("vzdump", "")), "_SYSTEMD_UNIT": "pvescheduler.service"}
        some.journal(line)
        some.finished(self.upid("vzdump", "") + " 690F0010 OK", 10)
        self.assertEqual(self.texts(some, 99), [])
        some.journal({**line, "MESSAGE": line["MESSAGE"].replace("vzdump:", "vzdump:7"), "_SYSTEMD_UNIT": "session-3.scope"})
        some.finished(self.upid("vzdump", "7") + " 690F0010 OK", 30)
        self.assertEqual(self.texts(some, 40), ["task of root@pam: vzdump 7, OK"], "somebody typed it")

    def test_a_call_explains_one_task_of_its_guest(self):
        some = self.tasks()
        call = '::1 - root@pam [x] "POST /api2/json/nodes/a/qemu/%s/status/start HTTP/1.1" 200 1'
        self.lines.access(call % "100", self.START + 1)
        # Typed on the node in the same seconds.
        some.finished(self.upid("qmshutdown") + " 690F0010 OK", 10)
        for about in ("100", "101"):
            begun = entry("pvedaemon", "<root@pam> starting task " + self.upid(about=about))
            some.journal({**begun, "_SYSTEMD_UNIT": "pvedaemon.service"})
            some.finished(self.upid(about=about) + " 690F0010 OK", 10)
        wanted = ["task of root@pam: qmshutdown 100, OK", "task of root@pam: qmstart 101, OK"]
        self.assertEqual(self.texts(some, 99), wanted)
        some.finished(self.upid("qmstop") + " 690F0010 OK", 30)
        self.assertEqual(self.texts(some, 99), ["task of root@pam: qmstop 100, OK"], "one call, one task")

    def test_ten_thousand_tasks_are_bounded(self):
        some = self.tasks()
        for number in range(10000):
            some.finished(self.upid(about=str(number)) + " 690F0010 OK", 10)
        some.events(11)
        self.assertLessEqual(len(some.waiting), tasks.MOST)
        self.assertLess(len(json.dumps(some.kept())), 300000)

    def test_no_text_is_an_attack(self):
        chance = random.Random(1)
        nasty = ["\x1b[31m", "<script>", '","x":"', "\u202e", "\r\n.\r\n", "http://evil.example", "`id`", "[a](b)", "@everyone\0"]
        for _ in range(2000):
            name = "".join(chance.choice(nasty + [chr(chance.randrange(0x3000))]) for _ in range(6))
            for event in (
                self.journal("sshd", "Failed password for %s from %s port 1 ssh2" % (name, name.replace(" ", "")))
                + self.journal("pveproxy", "authentication failure: token " + name, uid="33")
                + self.lines.access('1.1.1.1 - root@pam [x] "POST /%s HTTP/1.1" 200 1' % name, 0)
                + watch.changes(watch.users(""), watch.users("user:%s:1:0:::::\n" % name), "by you")
            ):
                self.assertRegex(event.text, SAFE)
                self.assertNotIn("//", event.text)
                self.assertLess(len(event.text), 800)

    def test_hostile_entries_do_not_end_the_service(self):
        chance = random.Random(2)
        for _ in range(2000):
            blob = [chance.randrange(-3, 300) for _ in range(chance.randrange(20))]
            for value in (blob, None, {}, 7, "".join(chr(one % 256 + 3) for one in blob)):
                self.lines.journal({"SYSLOG_IDENTIFIER": "sshd", "_UID": "0", "MESSAGE": value}, 0)
                self.lines.journal({"SYSLOG_IDENTIFIER": value if isinstance(value, str) else "x", "_UID": value}, 0)
            text = "".join(chr(abs(one)) for one in blob)
            self.lines.access(text, 0)
            some = tasks.Tasks({}, self.lines.called)
            some.active("UPID:" + text, 0)
            some.finished("UPID:" + text, 0)
            some.events(99)
            watch.token_days("token:a@pve!x:0:0:" + text)
            watch.users(text)
            watch.factors(text)
            watch.secrets(text)


class Watch(unittest.TestCase):
    BEFORE = (
        "user:root@pam:1:0:::root@example.com:::\nuser:alice@pve:1:0:::alice@example.com:Alice::\n"
        "token:alice@pve!ci:0:1::\ngroup:ops:alice@pve:::\nrole:Own:VM.Audit:\nacl:1:/vms:alice@pve:PVEVMUser:\n"
    )

    def changed(self, old, new):
        after = watch.users(self.BEFORE.replace(old, new) if old else self.BEFORE + new)
        return [(one.kind, one.text) for one in watch.changes(watch.users(self.BEFORE), after, "by a@pve from ::1")]

    def test_users_tokens_and_rights(self):
        self.assertEqual(self.changed("", "user:eve@pve:1:0::::::\n"), [("users", "new user eve@pve, by a@pve from ::1")])
        self.assertEqual(self.changed("alice@pve:1:0", "alice@pve:0:0")[0][1].split(",")[0], "user alice@pve is disabled")
        kinds = lambda *words: [(kind, text.split(", by")[0]) for kind, text in self.changed(*words)]
        self.assertEqual(kinds("", "token:alice@pve!x:0:0::\n"), [("tokens", "new token alice@pve!x, with all rights of its user")])
        self.assertEqual(kinds("ci:0:1", "ci:0:0"), [("tokens", "token alice@pve!ci has all rights of its user now")])
        self.assertEqual(kinds("", "acl:0:/:@ops:Administrator:\n"), [("permissions", "new right: @ops has Administrator on /")])
        self.assertEqual(kinds("role:Own:VM.Audit", "role:Own:VM.Audit,Sys.Modify"), [("permissions", "role Own: +Sys.Modify")])
        self.assertEqual(kinds("ops:alice@pve", "ops:alice@pve,eve@pve"), [("permissions", "group ops: +eve@pve")])
        self.assertEqual(self.changed("", ""), [])

    def test_second_factors(self):
        text = '{"users":{"alice@pve":{"totp":[{"id":"ad6c","entry":"otpauth://x?secret=JBSW"}],"recovery":{"x":1}}}}'
        before = watch.factors(text)
        found = watch.factor_changes(before, watch.factors("{}"), "by x")
        self.assertEqual([(one.kind, one.severity) for one in found], [("second-factors", "error")] * 2)
        self.assertNotIn("JBSW", json.dumps(before))
        self.assertEqual(watch.factors(""), {})
        self.assertIsNone(watch.factors("[]"))

    def test_tokens_end_and_age(self):
        told, day = {}, watch.DAY
        ends = lambda left: [one.text for one in watch.token_ends({"a@pve!x": [100 * day, "1"]}, (100 - left) * day, 30, told)]
        self.assertEqual(ends(31), [])
        self.assertEqual(ends(29), ["token a@pve!x expires in 29 days"])
        self.assertEqual(ends(28), [])
        self.assertEqual(ends(6), ["token a@pve!x expires in 6 days"])
        self.assertEqual(ends(-1), ["token a@pve!x has expired"])
        since, told = {}, {}
        ages = lambda now, digest: len(watch.token_ages({"a@pve!x": digest}, {}, since, now * day, 90, told))
        self.assertEqual([ages(1, "a"), ages(90, "a"), ages(92, "a"), ages(93, "a"), ages(125, "a"), ages(126, "b")], [0, 0, 1, 0, 1, 0])
        self.assertEqual(len(watch.secret_changes({"a": "1"}, {"a": "2", "b": "1"}, "by x")), 1)

    def test_a_token_is_as_old_as_its_comment_says(self):
        day = lambda text: watch.token_days("token:a@pve!x:0:1:%s:\n" % text).get("a@pve!x")
        self.assertEqual(day("CI; owner x [made 2026-01-01]"), 1767225600)
        self.assertEqual(day("CI%3A x [made 2025-01-01, rotated 2026-01-01, not proved]"), 1767225600)
        for text in ("", "CI", "[made]", "[made x]", "[made 2026-13-01]", "made 2026-01-01", "%FF%5B"):
            self.assertIsNone(day(text))
        since, told, now = {}, {}, 1767225600 + 100 * watch.DAY
        ages = lambda digest: [one.text for one in watch.token_ages({"a": digest}, {"a": 1767225600}, since, now, 90, told)]
        self.assertEqual(ages("1"), ["token a is due for rotation: the same secret for 100 days"])
        self.assertEqual(ages("2"), [], "a new secret, whatever the comment says")

    def test_certificates(self):
        told = {}
        ends = lambda left: [one.text for one in watch.certificate_end("/x.pem", left * watch.DAY, 0, 14, told)]
        self.assertEqual([ends(20), ends(10), ends(10)], [[], ["certificate /x.pem expires in 10 days"], []])

    def test_drift(self):
        with tempfile.TemporaryDirectory() as folder:
            runs = os.path.join(folder, "runs")
            path = os.path.join(folder, "managed")
            with open(path, "w", encoding="utf-8") as file:
                file.write("as the run left it")
            os.chmod(path, 0o644)
            left = watch.digest_of(path)
            self.assertRegex(left, r"^[0-9a-f]{64} 644 \S+ \S+$")
            os.makedirs(runs + "/1")
            with open(runs + "/1/state.json", "w", encoding="utf-8") as file:
                json.dump({"version": 1, "files": {path: left, path + ".gone": "absent"}, "sets": {}}, file)
            self.assertEqual(watch.left_by_runs(runs, 0), {}, "nothing was committed")
            open(runs + "/1/committed", "w", encoding="utf-8").close()
            os.makedirs(runs + "/2")
            open(runs + "/2/committed", "w", encoding="utf-8").close()
            self.assertIsNone(watch.left_by_runs(runs, 0), "its state is still to be written")
            wanted, told = watch.left_by_runs(runs, 1 << 40), {}
            self.assertEqual(watch.drift(wanted, told), [])
            os.chmod(path, 0o666)
            self.assertIn("another mode", watch.drift(wanted, told)[0].text)
            self.assertEqual(watch.drift(wanted, told), [], "told once")
            os.remove(path)
            self.assertIn("is gone", watch.drift(wanted, told)[0].text)
            os.mkfifo(path + ".gone")
            self.assertEqual(watch.drift(wanted, told), [], "a pipe holds nobody up")
            open(runs + "/1/open", "w", encoding="utf-8").close()
            self.assertIsNone(watch.left_by_runs(runs, 1 << 40))


class Logs(unittest.TestCase):
    def test_a_log_is_followed_over_rotation_and_restart(self):
        with tempfile.TemporaryDirectory() as folder:
            path, place = os.path.join(folder, "access.log"), {}

            def write(text):
                with open(path, "a", encoding="utf-8") as file:
                    file.write(text)

            write("old\n")
            self.assertEqual(service.Follow(path, place).lines(), [], "what was there before is not news")
            write("one\ntw")
            self.assertEqual(service.Follow(path, place).lines(), ["one"])
            write("o\n")
            os.rename(path, path + ".1")
            write("three\n")
            self.assertEqual(service.Follow(path, json.loads(json.dumps(place))).lines(), ["two", "three"])

    def test_a_log_that_comes_into_being_is_news(self):
        with tempfile.TemporaryDirectory() as folder:
            path, place = os.path.join(folder, "index"), {}
            self.assertEqual(service.Follow(path, place).lines(), [])
            with open(path, "w", encoding="utf-8") as file:
                file.write("first\n")
            self.assertEqual(service.Follow(path, place).lines(), ["first"])
            self.assertEqual(service.Follow(path, place).lines(), [])

    def test_what_is_read_late_happened_when_it_was_written(self):
        self.assertEqual(service.moment({"__REALTIME_TIMESTAMP": "1700000000500000"}, 1.8e9), 1700000000.5)
        for entry_of in ({}, {"__REALTIME_TIMESTAMP": "x"}, {"__REALTIME_TIMESTAMP": "1900000000000000"}):
            self.assertEqual(service.moment(entry_of, 1.8e9), 1.8e9)


class Sending(unittest.TestCase):
    """The service with ways out that do as they are told."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder, self.broken, self.taken = folder.name, {"webhook"}, []
        before = service.deliver.send, service.deliver.ways
        self.addCleanup(lambda: setattr(service.deliver, "send", before[0]) or setattr(service.deliver, "ways", before[1]))
        service.deliver.ways = lambda: ["pve", "webhook"]
        service.deliver.send = self.send

    def send(self, alert, by, *_):
        self.taken += [(way, alert.text.splitlines()[1].strip()) for way in by if way not in self.broken]
        return [way for way in by if way in self.broken]

    def start(self):
        return service.Service({**SETTINGS, "most-per-hour": 12, "kinds": ["users"]}, self.folder)

    def test_a_way_that_fails_is_tried_again_by_itself_even_after_a_restart(self):
        first = self.start()
        first.add([events.Event("users", "warning", "new user x")], 1000)
        first.send(1004)
        self.assertEqual(self.taken, [("pve", "new user x")])
        first.send(1020)
        self.assertEqual(len(self.taken), 1, "not at once")
        first.save(1021)
        second = self.start()
        second.send(1100)
        self.broken.clear()
        second.send(1110)
        self.assertEqual(len(self.taken), 1)
        second.send(1161)
        second.send(1300)
        self.assertEqual(self.taken, [("pve", "new user x"), ("webhook", "new user x")])
        second.save(1301)
        self.assertEqual(self.start().unsent, [])

    def test_what_waits_for_a_way_is_bounded(self):
        one = self.start()
        for number in range(100):
            one.unsent.append([["warning", "t", "users (1)\n  %d" % number], ["webhook"]])
        one.add([events.Event("users", "warning", "last")], 5000)
        one.send(5004)
        self.assertEqual(len(one.unsent), service.MOST_UNSENT)
        self.assertIn("last", one.unsent[-1][0][2])

    def test_nothing_is_written_while_nothing_happens(self):
        one = self.start()
        one.save(1)
        os.remove(one.path)
        one.save(7)
        self.assertFalse(os.path.exists(one.path))


class Gather(unittest.TestCase):
    def test_ten_thousand_events_are_a_few_alerts(self):
        gather, alerts = digest.Digest("pve1", 12), []
        for number in range(10000):
            now = 1000 + number * 0.006
            gather.add(events.Event("root-operations", "notice", "call %d" % number), now)
            if gather.due(now):
                alerts.append(gather.take(now))
        now = 1000 + 120
        self.assertTrue(gather.due(now))
        alerts.append(gather.take(now))
        self.assertLessEqual(len(alerts), 4)
        self.assertTrue(all(len(one.text) < 4000 for one in alerts))
        total = sum(int(re.search(r"\((\d+)\)", one.text).group(1)) for one in alerts)
        self.assertEqual(total, 10000, "nothing is lost from the count")

    def test_an_hour_has_so_many_alerts_and_strangers_get_half(self):
        def alerts(kind):
            gather, count = digest.Digest("pve1", 12), 0
            for now in range(0, 3600):
                gather.add(events.Event(kind, "warning", "x"), now)
                if gather.due(now):
                    gather.take(now)
                    count += 1
            return count, gather

        self.assertEqual(alerts("users")[0], 12)
        count, gather = alerts("failed-logins")
        self.assertEqual(count, 6)
        gather.add(events.Event("root-login", "warning", "x"), 3600)
        self.assertTrue(gather.due(3600), "what matters is told in the middle of an attack")

    def test_it_goes_on_after_a_restart(self):
        gather = digest.Digest("pve1", 12)
        gather.add(events.Event("users", "warning", "new user x"), 5)
        again = digest.Digest("pve1", 12, json.loads(json.dumps(gather.kept())))
        self.assertIn("new user x", again.take(9).text)

    def test_the_self_test_says_so(self):
        self.assertIn("test", digest.self_test("pve1").text)


if __name__ == "__main__":
    unittest.main()
