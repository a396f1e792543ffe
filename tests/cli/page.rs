//! The HTML report in Debian's Chromium, driven over its own debugging pipe: no network, no driver program.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use base64::Engine as _;
use serde_json::{Value, json};
use sha2::Digest as _;

use crate::support::run::{Run, SITE, recorded};

/// A browser with one page.
struct Browser {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    session: String,
    number: u64,
    /// Addresses the page asked for.
    requests: Vec<String>,
}

impl Browser {
    /// The pipe is file descriptors 3 and 4 of the browser; messages end with a NUL.
    fn open(profile: &Path) -> Self {
        let script = "exec chromium --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run \
            --disable-background-networking --window-size=1200,1600 --host-resolver-rules='MAP * ~NOTFOUND' --remote-debugging-pipe \
            --user-data-dir=\"$0\" about:blank 3<&0 4>&1 </dev/null >/dev/null 2>&1";
        let mut child = Command::new("sh")
            .args(["-c", script])
            .arg(profile)
            .env("HOME", profile)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (to, from) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let mut browser = Self { child, to, from, session: String::new(), number: 0, requests: Vec::new() };
        let target = browser.call("Target.createTarget", &json!({"url": "about:blank"}));
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let attached = browser.call("Target.attachToTarget", &attach);
        attached["sessionId"].as_str().unwrap().clone_into(&mut browser.session);
        for domain in ["Page", "Network", "Runtime"] {
            browser.call(&format!("{domain}.enable"), &json!({}));
        }
        browser
    }

    fn read(&mut self) -> Value {
        let mut message = Vec::new();
        let length = self.from.read_until(0, &mut message).unwrap();
        assert!(length > 0, "the browser is gone");
        message.pop();
        let message: Value = serde_json::from_slice(&message).unwrap();
        if message["method"] == "Network.requestWillBeSent" {
            self.requests.push(message["params"]["request"]["url"].as_str().unwrap().to_owned());
        }
        message
    }

    fn call(&mut self, method: &str, params: &Value) -> Value {
        self.number += 1;
        let mut message = json!({"id": self.number, "method": method, "params": params});
        if !self.session.is_empty() {
            message["sessionId"] = json!(self.session);
        }
        self.to.write_all(format!("{message}\0").as_bytes()).unwrap();
        loop {
            let mut answer = self.read();
            if answer["id"] == self.number {
                assert!(answer["error"].is_null(), "{method}: {answer}");
                return answer["result"].take();
            }
        }
    }

    fn go(&mut self, address: &str) {
        self.call("Page.navigate", &json!({ "url": address }));
        while self.read()["method"] != "Page.loadEventFired" {}
    }

    fn ask(&mut self, script: &str) -> Value {
        let mut answer = self.call("Runtime.evaluate", &json!({"expression": script, "returnByValue": true}));
        assert!(answer["exceptionDetails"].is_null(), "{script}: {answer}");
        answer["result"]["value"].take()
    }

    fn media(&mut self, scheme: &str) {
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        self.call("Emulation.setEmulatedMedia", &json!({ "features": features }));
    }

    fn picture(&mut self, file: &Path) -> Vec<u8> {
        let shot = self.call("Page.captureScreenshot", &json!({"format": "png"}));
        let png = base64::engine::general_purpose::STANDARD.decode(shot["data"].as_str().unwrap()).unwrap();
        std::fs::write(file, &png).unwrap();
        png
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What may be written into user.cfg without PVE minding, meant for whoever reads it in a browser.
const USERS: &str = "user:ana@pve:1:0:Ana:B:::\nuser:eve@pve:1:0::::<img src=x onerror=alert(1)>\"'</td></script><script>document.title=1</script>:\n\
    token:ana@pve!ci:0:1:nightly runs:\ngroup:admins:ana@pve::\nacl:1:/:@admins:Administrator:\nacl:1:/vms/100:ana@pve!ci:PVEAuditor:\n";

/// A recorded node with these users: text, size and digest.
fn with_users(name: &str) -> String {
    let mut capture: Value = serde_json::from_slice(&std::fs::read(recorded(name)).unwrap()).unwrap();
    let mut edit = |section: &str, from: &dyn Fn(&str) -> bool, to: &dyn Fn(&str) -> String| {
        let text = &mut capture["sections"][section]["body"]["text"];
        let lines = text.as_str().unwrap().split_inclusive('\n');
        *text = lines.map(|line| if from(line) { to(line) } else { line.to_owned() }).collect::<String>().into();
    };
    edit("files.text", &|line| line.starts_with("user:root@pam:"), &|_| USERS.into());
    let of_file = |line: &str| line.contains("/etc/pve/user.cfg");
    edit("files.digests", &of_file, &|_| format!("{:x}  /etc/pve/user.cfg\n", sha2::Sha256::digest(USERS)));
    edit("files.list", &of_file, &|line| {
        let mut fields: Vec<String> = line.split('\t').map(str::to_owned).collect();
        fields[5] = USERS.len().to_string();
        fields.join("\t")
    });
    capture.to_string()
}

const ACCOUNTS: &str =
    "[...document.querySelectorAll('tr[data-account]')].filter((one) => one.checkVisibility()).length";

const SHOWN: &str = "[...document.querySelectorAll('details')].filter((one) => one.checkVisibility()).length";

#[test]
fn the_page_filters_opens_darkens_and_prints() {
    if Command::new("chromium").arg("--version").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "chromium is missing");
        eprintln!("SKIPPED: chromium is missing");
        return;
    }
    let pictures = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let captures = ["--capture", "one.json", "--capture", "two.json"];
    let run = Run::new(&[&["check", "--format", "html", "--output", "report.html"][..], &captures].concat());
    let run = run.file("site.toml", SITE).file("one.json", with_users("fresh9.json"));
    let run = run.file("two.json", with_users("member1.json"));
    assert_eq!(run.done().code, Some(1));
    let address = format!("file://{}", run.path("report.html").display());
    let profile = tempfile::tempdir().unwrap();
    let mut browser = Browser::open(profile.path());
    browser.media("light");
    browser.go(&address);

    let all = browser.ask(SHOWN).as_u64().unwrap();
    assert!(all > 20, "{all}");
    assert_eq!(browser.ask("document.getElementById('filter').hidden"), false, "the script ran under its own policy");
    let light = browser.ask("getComputedStyle(document.body).backgroundColor");
    browser.picture(&pictures.join("report-light.png"));

    // Filter, as a person does it.
    let choose = |name: &str, value: &str| {
        format!(
            "{{ const f = document.getElementById('filter').elements['{name}']; f.value = '{value}'; f.dispatchEvent(new Event('change', {{bubbles: true}})); }}"
        )
    };
    browser.ask(&choose("state", "differs"));
    let differing = browser.ask(SHOWN).as_u64().unwrap();
    assert!(differing > 0 && differing < all, "{differing} of {all}");
    assert_eq!(browser.ask("location.hash"), "#state=differs");
    browser.ask(&choose("family", "ssh"));
    let of_ssh = browser.ask(SHOWN).as_u64().unwrap();
    assert!(of_ssh > 0 && of_ssh < differing, "{of_ssh} of {differing}");
    browser.ask(&choose("node", "fresh9"));
    assert_eq!(browser.ask(SHOWN).as_u64().unwrap() * 2, of_ssh, "two nodes, one of them shown");
    // The address brings the same choice back.
    browser.go("about:blank");
    browser.go(&format!("{address}#state=differs&family=ssh"));
    assert_eq!(browser.ask(SHOWN).as_u64(), Some(of_ssh));
    browser.go("about:blank");
    browser.go(&address);

    // The accounts: shown once for nodes that share them, found by name, role and path, and what they say stays text.
    let accounts = browser.ask(ACCOUNTS).as_u64().unwrap();
    assert_eq!(accounts, 4, "two users, a token and root");
    let first = "[...document.querySelectorAll('tr[data-account]')].find((one) => one.checkVisibility()).innerText";
    for (words, found, part) in [
        ("EVE@", 1, "<script>document.title=1</script>"),
        ("administrator /", 2, "through @admins"),
        ("ci /vms/100", 1, "PVEAuditor on /vms/100"),
        ("nobody-here", 0, ""),
    ] {
        let search = "const f = document.getElementById('filter').elements.access";
        browser.ask(&format!(
            "{{ {search}; f.value = '{words}'; f.dispatchEvent(new Event('input', {{bubbles: true}})); }}"
        ));
        assert_eq!(browser.ask(ACCOUNTS), found, "{words}");
        if found > 0 {
            let row = browser.ask(first);
            assert!(row.as_str().unwrap().contains(part), "{words}: {row}");
        }
    }
    assert!(browser.ask("location.hash").as_str().unwrap().starts_with("#access="));
    browser.go("about:blank");
    browser.go(&format!("{address}#access=eve@"));
    assert_eq!(browser.ask(ACCOUNTS), 1, "the address brings the search back");
    browser.ask("document.querySelector('tr[data-account]').closest('.access').scrollIntoView()");
    browser.picture(&pictures.join("report-access.png"));
    assert_eq!(browser.ask("document.querySelectorAll('img').length + document.scripts.length"), 1);
    assert!(browser.ask("document.title").as_str().unwrap().starts_with("pve-harden check"));
    browser.go("about:blank");
    browser.go(&address);

    // Expand.
    assert_eq!(browser.ask("document.querySelector('details').open"), false);
    browser.ask("document.querySelector('details > summary').click()");
    let opened = browser.ask("document.querySelector('details[open] .body').innerText");
    for part in ["WHY", "EVIDENCE", "FIX", "HOW IT IS CHECKED"] {
        assert!(opened.as_str().unwrap().to_uppercase().contains(part), "{part}: {opened}");
    }
    browser.picture(&pictures.join("report-open.png"));

    // A phone.
    let phone = json!({"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": true});
    browser.call("Emulation.setDeviceMetricsOverride", &phone);
    assert_eq!(browser.ask("document.documentElement.scrollWidth <= 390"), true, "nothing sticks out");
    browser.picture(&pictures.join("report-phone.png"));
    browser.call("Emulation.clearDeviceMetricsOverride", &json!({}));

    // Dark.
    browser.media("dark");
    let dark = browser.ask("getComputedStyle(document.body).backgroundColor");
    assert_ne!(light, dark);
    browser.picture(&pictures.join("report-dark.png"));

    // Paper: everything is open, and shut again afterwards.
    browser.media("light");
    let open = "document.querySelectorAll('details[open]').length";
    assert_eq!(browser.ask(open), 1);
    browser.ask("dispatchEvent(new Event('beforeprint'))");
    assert_eq!(browser.ask(open), all);
    browser.ask("dispatchEvent(new Event('afterprint'))");
    assert_eq!(browser.ask(open), 1);
    let printed = browser.call("Page.printToPDF", &json!({}));
    let pdf = base64::engine::general_purpose::STANDARD.decode(printed["data"].as_str().unwrap()).unwrap();
    assert!(pdf.starts_with(b"%PDF") && pdf.len() > 20_000, "{}", pdf.len());
    std::fs::write(pictures.join("report.pdf"), &pdf).unwrap();

    let outside: Vec<_> = browser.requests.iter().filter(|url| !url.starts_with("file://")).collect();
    assert!(outside.iter().all(|url| url.as_str() == "about:blank"), "{outside:?}");
}
