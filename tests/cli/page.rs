//! The HTML report in Debian's Chromium, driven over its own debugging pipe: no network, no driver program.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use base64::Engine as _;
use serde_json::{Value, json};

use crate::support::run::{Run, SITE};

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

const SHOWN: &str = "[...document.querySelectorAll('details')].filter((one) => one.checkVisibility()).length";

#[test]
fn the_page_filters_opens_darkens_and_prints() {
    if Command::new("chromium").arg("--version").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "chromium is missing");
        eprintln!("SKIPPED: chromium is missing");
        return;
    }
    let pictures = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let run = Run::new(&["check", "--format", "html", "--output", "report.html"]).file("site.toml", SITE);
    let run = run.capture("fresh9.json").capture("member1.json");
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
