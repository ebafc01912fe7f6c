//! A headless Chromium, driven over a pipe of its own by the Chrome DevTools Protocol.

use serde_json::{Value, json};
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

/// A machine with much to do is slow to start a browser.
const PATIENCE: Duration = Duration::from_secs(120);

/// Listens to all that a page plays, to each channel on its own, from before its first script on.
const EARS: &str = "
    const connect = AudioNode.prototype.connect;
    AudioNode.prototype.connect = function (to, ...more) {
      if (to instanceof AudioDestinationNode) {
        const split = to.context.createChannelSplitter(2);
        connect.call(this, split);
        window.ears = [0, 1].map(n => {
          const ear = new AnalyserNode(to.context, { fftSize: 16384 });
          connect.call(split, ear, n);
          return ear;
        });
      }
      return connect.call(this, to, ...more);
    };";

/// How strong a tone is in what an ear heard last, and all that is not that tone: the sine that fits best, and what is left.
const TONE: &str = "
    (ear, hertz) => {
      const samples = new Float32Array(ear.fftSize);
      ear.getFloatTimeDomainData(samples);
      const turn = 2 * Math.PI * hertz / ear.context.sampleRate;
      let [ss, sc, cc, s, c] = [0, 0, 0, 0, 0];
      samples.forEach((value, n) => {
        const [sin, cos] = [Math.sin(turn * n), Math.cos(turn * n)];
        ss += sin * sin; sc += sin * cos; cc += cos * cos; s += value * sin; c += value * cos;
      });
      const all = ss * cc - sc * sc;
      const [a, b] = [(s * cc - c * sc) / all, (c * ss - s * sc) / all];
      let rest = 0;
      samples.forEach((value, n) => { rest += (value - a * Math.sin(turn * n) - b * Math.cos(turn * n)) ** 2; });
      return [Math.hypot(a, b), Math.sqrt(2 * rest / samples.length)];
    }";

/// Nothing that goes out to the network, and nothing that needs a screen.
const FLAGS: &[&str] = &[
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--window-size=1000,700",
    "--remote-debugging-pipe",
];

pub struct Browser {
    child: Child,
    to: File,
    from: Receiver<Value>,
    session: String,
    next: u64,
    /// What the page was refused or failed at.
    pub complaints: Vec<String>,
    _home: tempfile::TempDir,
}

impl Browser {
    /// With an empty profile, and one empty page.
    pub fn start() -> Browser {
        let home = tempfile::tempdir().unwrap();
        let (input, output) = (home.path().join("in"), home.path().join("out"));
        let made = Command::new("mkfifo").args([&input, &output]).status().unwrap();
        assert!(made.success(), "mkfifo");
        // It reads its orders from descriptor 3 and answers on 4.
        let mut command = Command::new("sh");
        command.args(["-c", r#"exec chromium "$@" 3<"$IN" 4>"$OUT""#, "sh"]).args(FLAGS);
        command.arg(format!("--user-data-dir={}", home.path().join("profile").display()));
        command.env("IN", &input).env("OUT", &output).env("HOME", home.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().unwrap();
        // In the shell's order: each waits for the other side.
        let to = open(OpenOptions::new().write(true), &input);
        let from = listen(open(OpenOptions::new().read(true), &output));
        let (session, complaints) = (String::new(), Vec::new());
        let mut browser = Browser { child, to, from, session, next: 0, complaints, _home: home };
        browser.page();
        browser
    }

    /// Makes a new page, and what follows goes to it.
    pub fn page(&mut self) {
        self.session.clear();
        let target = self.call("Target.createTarget", json!({"url": "about:blank"}));
        let attached = self.call("Target.attachToTarget", json!({"targetId": target["targetId"], "flatten": true}));
        self.session = attached["sessionId"].as_str().unwrap().to_string();
        for domain in ["Page", "Runtime", "Log"] {
            self.call(&format!("{domain}.enable"), json!({}));
        }
        self.call("Page.addScriptToEvaluateOnNewDocument", json!({ "source": EARS }));
    }

    pub fn open(&mut self, url: &str) {
        let went = self.call("Page.navigate", json!({ "url": url }));
        assert!(went["errorText"].is_null(), "{url}: {went}");
    }

    /// One call; waits for its result.
    pub fn call(&mut self, method: &str, params: Value) -> Value {
        self.next += 1;
        let mut message = json!({"id": self.next, "method": method, "params": params});
        if !self.session.is_empty() {
            message["sessionId"] = json!(self.session);
        }
        let mut data = message.to_string().into_bytes();
        data.push(0);
        self.to.write_all(&data).expect("chromium is there; if it is not installed: make setup");
        loop {
            let mut message = self.from.recv_timeout(PATIENCE).expect("chromium answers");
            if message["id"] == json!(self.next) {
                assert!(message["error"].is_null(), "{method}: {}", message["error"]);
                return message["result"].take();
            }
            self.note(&message);
        }
    }

    fn note(&mut self, message: &Value) {
        let params = &message["params"];
        match message["method"].as_str() {
            Some("Runtime.exceptionThrown") => self.complaints.push(params["exceptionDetails"].to_string()),
            Some("Log.entryAdded") if params["entry"]["level"] == "error" => {
                self.complaints.push(params["entry"]["text"].to_string())
            }
            _ => {}
        }
    }

    /// The value of an expression, or of what it promises.
    pub fn value(&mut self, expression: &str) -> Value {
        let params = json!({"expression": expression, "awaitPromise": true, "returnByValue": true});
        let mut result = self.call("Runtime.evaluate", params);
        assert!(result["exceptionDetails"].is_null(), "{expression}: {}", result["exceptionDetails"]);
        result["result"]["value"].take()
    }

    /// Waits until an expression is true.
    pub fn until(&mut self, expression: &str) {
        // A page that is being loaded has no body yet.
        let tried = format!("(() => {{ try {{ return {expression} }} catch {{ return false }} }})()");
        let deadline = Instant::now() + PATIENCE;
        while self.value(&tried) != json!(true) {
            if Instant::now() > deadline {
                let body = self.value("document.body?.innerText");
                panic!("{expression} is not so; the page: {body}; complaints: {:?}", self.complaints);
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// The pixels of the guest's screen, 0xRRGGBB, and its width.
    pub fn screen(&mut self) -> (usize, Vec<u32>) {
        let script = "(() => { const c = document.querySelector('#screen canvas'); \
                      const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data; const all = []; \
                      for (let i = 0; i < d.length; i += 4) all.push(d[i] << 16 | d[i + 1] << 8 | d[i + 2]); \
                      return [c.width, all]; })()";
        let value = self.value(script);
        let pixels = value[1].as_array().unwrap().iter().map(|p| p.as_u64().unwrap() as u32).collect();
        (value[0].as_u64().unwrap() as usize, pixels)
    }

    /// Waits until the left and the right channel of what the page plays are these tones and nothing else, for a third of a second and more: a gap
    /// or a click is something else.
    pub fn hears(&mut self, hertz: [f64; 2], strength: f64) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let heard = self
                .value(&format!("window.ears ? [0, 1].map(n => ({TONE})(ears[n], {hertz:?}[n])) : [[0, 0], [0, 0]]"));
            let is = |n: usize, what: usize| heard[n][what].as_f64().unwrap_or(9.0);
            if (0..2).all(|n| (is(n, 0) - strength).abs() < 0.01 && is(n, 1) < 0.002) {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{hertz:?} Hz: the tones and the rest are {heard}; complaints: {:?}",
                self.complaints
            );
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// Presses and releases a key by its place: `KeyA`, with what it prints and its number in Windows.
    pub fn key(&mut self, code: &str, key: &str, number: u32) {
        for kind in ["rawKeyDown", "keyUp"] {
            let params = json!({"type": kind, "code": code, "key": key, "windowsVirtualKeyCode": number});
            self.call("Input.dispatchKeyEvent", params);
        }
    }

    /// The left button, at a place in the page.
    pub fn click(&mut self, x: f64, y: f64) {
        for (kind, buttons) in [("mouseMoved", 0), ("mousePressed", 1), ("mouseReleased", 0)] {
            let button = if kind == "mouseMoved" { "none" } else { "left" };
            let params = json!({"type": kind, "x": x, "y": y, "button": button, "buttons": buttons, "clickCount": 1});
            self.call("Input.dispatchMouseEvent", params);
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn open(options: &OpenOptions, path: &Path) -> File {
    options.open(path).unwrap()
}

/// Its messages, each ended by a zero.
fn listen(from: File) -> Receiver<Value> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for message in BufReader::new(from).split(0) {
            let Ok(message) = message else { return };
            let Ok(message) = serde_json::from_slice(&message) else { return };
            if sender.send(message).is_err() {
                return;
            }
        }
    });
    receiver
}
