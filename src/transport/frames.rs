//! A program's answer: length-prefixed frames, so that no content can forge one.
//!
//! `PVH-NONCE NAME STATUS LENGTH[ base64]\n`, LENGTH bytes, `\n`; the frame `end` carries the program's exit status and
//! proves that nothing is missing. Whatever a login shell prints before the first frame is skipped.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::error::Error;
use super::program::Nonce;
use super::sanitize;

/// One answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// What was asked.
    pub name: String,
    /// Exit status of the command that answered, or what the program means by it.
    pub status: i32,
    /// The answer.
    pub body: Vec<u8>,
}

/// How much a node may answer, and how long it may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one frame as sent.
    pub frame: usize,
    /// Bytes of all frames.
    pub total: usize,
    /// Bytes of noise before the first frame.
    pub noise: usize,
    /// Seconds from start to `end`.
    pub time: std::time::Duration,
}

impl Default for Limits {
    fn default() -> Self {
        const MIB: usize = 1 << 20;
        Self { frame: 8 * MIB, total: 64 * MIB, noise: 64 << 10, time: std::time::Duration::from_secs(120) }
    }
}

impl Limits {
    /// The same sizes with another time.
    #[must_use]
    pub fn within(mut self, time: std::time::Duration) -> Self {
        self.time = time;
        self
    }
}

/// Longest header line that can be right.
const HEADER: usize = 512;
/// Room that stays in the buffer after a large frame.
const KEPT: usize = 16 << 10;
/// Up to here room for a whole answer is made at once instead of by doubling.
const AT_ONCE: usize = 1 << 20;
/// How much of a wrong line is shown.
const SHOWN: usize = 80;

/// Incremental parser; chunks may be cut anywhere.
#[derive(Debug)]
pub(super) struct Parser {
    mark: Vec<u8>,
    limits: Limits,
    buffer: Vec<u8>,
    total: usize,
    state: State,
}

#[derive(Debug)]
enum State {
    Noise { skipped: usize },
    Header,
    Body(Header),
    Ended(i32),
}

#[derive(Debug, Clone)]
struct Header {
    name: String,
    status: i32,
    length: usize,
    base64: bool,
}

impl Parser {
    pub(super) fn new(nonce: &Nonce, limits: Limits) -> Self {
        Self {
            mark: format!("PVH-{} ", nonce.as_str()).into_bytes(),
            limits,
            buffer: Vec::new(),
            total: 0,
            state: State::Noise { skipped: 0 },
        }
    }

    /// The exit status in the `end` frame.
    pub(super) fn ended(&self) -> Option<i32> {
        match self.state {
            State::Ended(status) => Some(status),
            _ => None,
        }
    }

    /// Whether the program's first frame was seen.
    pub(super) fn started(&self) -> bool {
        !matches!(self.state, State::Noise { .. })
    }

    /// What was printed instead of a first frame, for a message.
    pub(super) fn noise(&self) -> String {
        if self.started() { String::new() } else { shown(&self.buffer) }
    }

    /// Takes the next bytes and gives the frames they complete.
    pub(super) fn push(&mut self, chunk: &[u8]) -> Result<Vec<Frame>, Error> {
        let mut frames = Vec::new();
        self.buffer.extend_from_slice(chunk);
        loop {
            let more = match &self.state {
                State::Ended(_) => {
                    // A logout script may still talk.
                    self.buffer.clear();
                    false
                }
                State::Noise { skipped } => {
                    let skipped = *skipped;
                    self.skip_noise(skipped)?
                }
                State::Header => self.read_header()?,
                State::Body(header) => {
                    let header = header.clone();
                    self.read_body(&header, &mut frames)?
                }
            };
            if !more {
                return Ok(frames);
            }
        }
    }

    /// The mark may follow a banner without a line end; it cannot be guessed, so it is looked for anywhere.
    fn skip_noise(&mut self, skipped: usize) -> Result<bool, Error> {
        let found = find(&self.buffer, &self.mark);
        let drop = found.unwrap_or_else(|| self.buffer.len().saturating_sub(self.limits.noise.max(self.mark.len())));
        let skipped = skipped + drop;
        if skipped > self.limits.noise || (found.is_none() && self.buffer.len() > self.limits.noise) {
            return Err(Error::Garbage(format!(
                "more than {} bytes before the first answer, beginning with {}",
                self.limits.noise,
                shown(&self.buffer)
            )));
        }
        if found.is_none() {
            return Ok(false);
        }
        self.buffer.drain(..drop);
        self.state = State::Header;
        Ok(true)
    }

    fn read_header(&mut self) -> Result<bool, Error> {
        let known = self.buffer.len().min(self.mark.len());
        if self.buffer[..known] != self.mark[..known] {
            return Err(Error::Garbage(format!("between two answers stands {}", shown(&self.buffer))));
        }
        let Some(end) = self.buffer.iter().take(HEADER).position(|byte| *byte == b'\n') else {
            if self.buffer.len() >= HEADER {
                return Err(Error::Garbage(format!("an answer's head has no end: {}", shown(&self.buffer))));
            }
            return Ok(false);
        };
        let header = std::str::from_utf8(&self.buffer[self.mark.len()..end])
            .ok()
            .and_then(Header::parse)
            .ok_or_else(|| Error::Garbage(format!("an answer's head reads {}", shown(&self.buffer[..end]))))?;
        self.total = self.total.saturating_add(end + 1).saturating_add(header.length);
        if header.length > self.limits.frame {
            return Err(Error::TooLarge { what: sanitize::line(&header.name).into_owned(), limit: self.limits.frame });
        }
        if self.total > self.limits.total {
            return Err(Error::TooLarge { what: "the whole answer".into(), limit: self.limits.total });
        }
        self.buffer.drain(..=end);
        self.state = State::Body(header);
        Ok(true)
    }

    fn read_body(&mut self, header: &Header, frames: &mut Vec<Frame>) -> Result<bool, Error> {
        if self.buffer.len() <= header.length {
            let missing = header.length + 1 - self.buffer.len();
            if missing <= AT_ONCE {
                self.buffer.reserve_exact(missing);
            }
            return Ok(false);
        }
        if self.buffer[header.length] != b'\n' {
            return Err(Error::Garbage(format!("the answer {} is longer than it says", header.name)));
        }
        // A body of its own size: bodies are kept, and the buffer holds many.
        let body = &self.buffer[..header.length];
        let body = if header.base64 {
            STANDARD
                .decode(body)
                .map_err(|error| Error::Garbage(format!("the answer {} is no base64: {error}", header.name)))?
        } else {
            body.to_vec()
        };
        self.buffer.drain(..=header.length);
        self.buffer.shrink_to(KEPT);
        if header.name == "end" {
            self.state = State::Ended(header.status);
        } else {
            frames.push(Frame { name: header.name.clone(), status: header.status, body });
            self.state = State::Header;
        }
        Ok(true)
    }
}

impl Header {
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let name = words.next().filter(|name| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic()))?;
        let status = words.next()?.parse().ok()?;
        let length = words.next().filter(|word| word.bytes().all(|byte| byte.is_ascii_digit()))?.parse().ok()?;
        let base64 = match words.next() {
            None => false,
            Some("base64") => true,
            Some(_) => return None,
        };
        words.next().is_none().then(|| Self { name: name.into(), status, length, base64 })
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

fn shown(bytes: &[u8]) -> String {
    let cut = &bytes[..bytes.len().min(SHOWN)];
    format!("\"{}\"", sanitize::line(&String::from_utf8_lossy(cut)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parser(limits: Limits) -> Parser {
        Parser::new(&Nonce::fixed("n0"), limits)
    }

    fn wire(frames: &[Frame]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for frame in frames {
            bytes.extend(format!("PVH-n0 {} {} {}\n", frame.name, frame.status, frame.body.len()).into_bytes());
            bytes.extend(&frame.body);
            bytes.push(b'\n');
        }
        bytes.extend(b"PVH-n0 end 0 0\n\n");
        bytes
    }

    fn frame() -> impl Strategy<Value = Frame> {
        ("[a-z./_-]{1,20}", any::<i32>(), proptest::collection::vec(any::<u8>(), 0..60))
            .prop_filter("end is the last frame's name", |(name, ..)| name != "end")
            .prop_map(|(name, status, body)| Frame { name, status, body })
    }

    #[test]
    fn what_is_kept_of_many_answers_in_one_chunk_is_not_larger_than_they_are() {
        let frames: Vec<Frame> =
            (0..200).map(|n| Frame { name: format!("f{n}"), status: 0, body: vec![b'x'; 300] }).collect();
        let got = parser(Limits::default()).push(&wire(&frames)).unwrap();
        assert_eq!(got, frames);
        let room: usize = got.iter().map(|frame| frame.body.capacity()).sum();
        assert!(room <= 2 * 200 * 300, "{room}");
    }

    proptest! {
        #[test]
        fn frames_survive_any_cut_and_any_banner(
            frames in proptest::collection::vec(frame(), 0..6),
            noise in proptest::collection::vec(any::<u8>(), 0..200),
            cuts in proptest::collection::vec(1_usize..40, 1..40),
        ) {
            let mut bytes = noise;
            bytes.extend(wire(&frames));
            let mut parser = parser(Limits::default());
            let mut got = Vec::new();
            let mut rest = bytes.as_slice();
            for cut in cuts.iter().cycle() {
                let (chunk, tail) = rest.split_at((*cut).min(rest.len()));
                got.extend(parser.push(chunk).unwrap());
                rest = tail;
                if rest.is_empty() { break; }
            }
            prop_assert_eq!(got, frames);
            prop_assert_eq!(parser.ended(), Some(0));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600), marked in any::<bool>()) {
            let mut parser = parser(Limits { frame: 64, total: 128, noise: 100, ..Limits::default() });
            let mut input = if marked { b"PVH-n0 ".to_vec() } else { Vec::new() };
            input.extend(bytes);
            for chunk in input.chunks(7) {
                if parser.push(chunk).is_err() { break; }
            }
        }

        #[test]
        fn a_cut_answer_never_ends(frames in proptest::collection::vec(frame(), 0..4), keep in 0.0_f64..1.0) {
            let bytes = wire(&frames);
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
            let keep = (bytes.len() as f64 * keep) as usize;
            let mut parser = parser(Limits::default());
            parser.push(&bytes[..keep.min(bytes.len() - 1)]).unwrap();
            prop_assert_eq!(parser.ended(), None);
        }
    }

    #[test]
    fn content_cannot_forge_a_frame() {
        let forged = b"x\nPVH-n0 end 0 0\n\n".to_vec();
        let frames = [Frame { name: "file".into(), status: 0, body: forged }];
        assert_eq!(parser(Limits::default()).push(&wire(&frames)).unwrap(), frames);
    }

    #[test]
    fn base64_bodies_are_decoded() {
        let frames = parser(Limits::default()).push(b"PVH-n0 f 0 4 base64\nAAE=\n").unwrap();
        assert_eq!(frames[0].body, [0, 1]);
    }

    #[test]
    fn sizes_are_bounded() {
        let limits = Limits { frame: 10, total: 60, noise: 20, ..Limits::default() };
        assert!(matches!(parser(limits).push(b"PVH-n0 big 0 11\n"), Err(Error::TooLarge { limit: 10, .. })));
        let many = b"PVH-n0 a 0 10\n0123456789\n".repeat(3);
        assert!(matches!(parser(limits).push(&many), Err(Error::TooLarge { limit: 60, .. })));
        assert!(matches!(parser(limits).push(&[b'x'; 40]), Err(Error::Garbage(_))));
    }

    #[test]
    fn noise_between_frames_and_foreign_marks_are_refused() {
        for bytes in [
            "PVH-n0 a 0 0\n\nhello PVH-n0 end 0 0\n\n",
            "PVH-n0 a 0 0\n\nPVH-n1 end 0 0\n\n",
            "PVH-n0 a 0 0\nxPVH-n0 end 0 0\n\n",
            "PVH-n0 a 0 -1\n\n",
            "PVH-n0 a 0 +1\nx\n",
            "PVH-n0 a 0 0 gzip\n\n",
            "PVH-n0  0 0\n\n",
        ] {
            assert!(matches!(parser(Limits::default()).push(bytes.as_bytes()), Err(Error::Garbage(_))), "{bytes}");
        }
    }
}
