use super::*;
use crate::host::stream::Stream;
use proptest::prelude::*;
use std::sync::atomic::AtomicU32;

fn party(clipboard: &Arc<Clipboard>) -> (Party, Arc<AtomicU32>) {
    let rung = Arc::new(AtomicU32::new(0));
    let bell = rung.clone();
    (
        clipboard.join(Arc::new(move || {
            let _ = bell.fetch_add(1, Ordering::Relaxed);
        })),
        rung,
    )
}

#[test]
fn each_hears_of_the_others() {
    let clipboard = Arc::<Clipboard>::default();
    let ((a, a_rung), (b, b_rung)) = (party(&clipboard), party(&clipboard));
    assert_eq!((a.news(), b.news()), (None, None));
    assert!(a.put("one\r\ntwo"));
    assert_eq!((a.news(), b.news().as_deref(), b.news()), (None, Some("one\ntwo"), None));
    // An echo is no news.
    assert!(b.put("one\ntwo"));
    assert_eq!((a.news(), a_rung.load(Ordering::Relaxed), b_rung.load(Ordering::Relaxed)), (None, 0, 1));
    b.put("three");
    assert_eq!(a.news().as_deref(), Some("three"));
    assert!(!a.put(&"x".repeat(LIMIT + 1)));
    // Who comes later finds what is there, and who is gone is not rung for.
    drop(b);
    let (c, _) = party(&clipboard);
    assert_eq!(c.news().as_deref(), Some("three"));
    a.put("four");
    assert_eq!(b_rung.load(Ordering::Relaxed), 1);
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|w| w.to_le_bytes()).collect()
}

fn message(kind: u32, body: &[u8]) -> Vec<u8> {
    [words(&[1, kind, 0, 0, body.len() as u32]), body.to_vec()].concat()
}

/// In chunks of so many bytes.
fn chunks(message: &[u8], size: usize) -> Vec<u8> {
    message.chunks(size).flat_map(|c| [words(&[1, c.len() as u32]), c.to_vec()].concat()).collect()
}

fn say(agent: &Agent, kind: u32, body: &[u8]) {
    agent.write(&chunks(&message(kind, body), 2048));
}

/// The messages that wait for the guest: type and data.
fn heard(agent: &Agent) -> Vec<(u32, Vec<u8>)> {
    let mut raw = Vec::new();
    let mut piece = [0; 1000];
    loop {
        let n = agent.read(&mut piece);
        if n == 0 {
            break;
        }
        raw.extend(&piece[..n]);
    }
    let word = |b: &[u8], at: usize| u32::from_le_bytes(b[at..at + 4].try_into().unwrap()) as usize;
    let mut bytes = Vec::new();
    while !raw.is_empty() {
        let size = word(&raw, 4);
        assert!(word(&raw, 0) == 1 && size <= 2048);
        bytes.extend(raw.drain(..8 + size).skip(8));
    }
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let size = word(&bytes, 16);
        let message: Vec<_> = bytes.drain(..20 + size).collect();
        all.push((word(&message, 4) as u32, message[20..].to_vec()));
    }
    all
}

const SELECTION: [u8; 4] = [0; 4];

#[test]
fn the_guests_agent_and_a_viewer_share_text() {
    let clipboard = Arc::<Clipboard>::default();
    let (viewer, rung) = party(&clipboard);
    let agent = Agent::new(&clipboard);
    let told = Arc::new(AtomicU32::new(0));
    let bell = told.clone();
    agent.listen(Arc::new(move || {
        let _ = bell.fetch_add(1, Ordering::Relaxed);
    }));
    viewer.put("before");
    assert_eq!(heard(&agent), [], "nobody is there");
    say(&agent, 6, &words(&[1, 1 << 5 | 1 << 6]));
    let grab = [SELECTION.to_vec(), words(&[1])].concat();
    assert_eq!(heard(&agent), [(6, words(&[0, 1 << 5 | 1 << 6])), (7, grab.clone())]);
    assert!(told.load(Ordering::Relaxed) > 0);
    // The guest pastes.
    say(&agent, 8, &grab);
    assert_eq!(heard(&agent), [(4, [&SELECTION[..], &words(&[1]), b"before"].concat())]);
    say(&agent, 8, &[SELECTION.to_vec(), words(&[2])].concat());
    assert_eq!(heard(&agent), [(4, [&SELECTION[..], &words(&[0])].concat())], "there is no picture");
    // The guest copies: it is asked at once.
    say(&agent, 7, &[SELECTION.to_vec(), words(&[2, 1])].concat());
    assert_eq!(heard(&agent), [(8, grab.clone())]);
    let long = "ä\n".repeat(5000);
    say(&agent, 4, &[&SELECTION[..], &words(&[1]), long.as_bytes()].concat());
    assert_eq!((viewer.news().as_deref(), rung.load(Ordering::Relaxed)), (Some(&*long), 1));
    assert_eq!(heard(&agent), []);
    // Another selection, a picture: not ours.
    say(&agent, 7, &[vec![1, 0, 0, 0], words(&[1])].concat());
    say(&agent, 7, &[SELECTION.to_vec(), words(&[2])].concat());
    assert_eq!(heard(&agent), []);
    viewer.put("left");
    heard(&agent);
    agent.hung_up();
    say(&agent, 6, &words(&[1, 1 << 5]));
    assert_eq!(heard(&agent).len(), 2, "the next agent is told what is there");
    agent.hung_up();
    viewer.put("after");
    assert_eq!(heard(&agent), []);
    // An older agent of a system whose lines end otherwise.
    say(&agent, 6, &words(&[0, 1 << 5 | 1 << 9]));
    assert_eq!(heard(&agent), [(7, words(&[1]))]);
    viewer.put("x\ny");
    assert_eq!(heard(&agent), [(7, words(&[1]))]);
    say(&agent, 8, &words(&[1]));
    assert_eq!(heard(&agent), [(4, [&words(&[1]), &b"x\r\ny"[..]].concat())]);
}

#[test]
fn what_is_too_long_is_left_out_and_the_next_is_heard() {
    let clipboard = Arc::<Clipboard>::default();
    let (viewer, _) = party(&clipboard);
    let agent = Agent::new(&clipboard);
    say(&agent, 6, &words(&[1, 1 << 5]));
    say(&agent, 4, &[words(&[1]), vec![b'x'; LIMIT + 1000]].concat());
    assert_eq!(viewer.news(), None);
    // Byte by byte, and with a chunk for another port in between.
    let next = message(4, &[words(&[1]), b"short\0".to_vec()].concat());
    let mut raw = chunks(&next[..10], 3);
    raw.extend([words(&[2, 5]), vec![9; 5]].concat());
    raw.extend(chunks(&next[10..], 7));
    raw.iter().for_each(|byte| agent.write(&[*byte]));
    assert_eq!(viewer.news().as_deref(), Some("short"));
    // A guest that asks and does not read is not waited for.
    viewer.put(&"y".repeat(LIMIT));
    for _ in 0..20 {
        say(&agent, 8, &words(&[1]));
    }
    let bytes: usize = heard(&agent).iter().map(|(_, body)| body.len()).sum();
    assert!((3 * LIMIT..5 * LIMIT).contains(&bytes), "{bytes}");
}

proptest! {
    #[test]
    fn no_agent_harms_it(
        pieces in prop::collection::vec(prop_oneof![
            prop::collection::vec(any::<u8>(), 0..64),
            (0..16u32, prop::collection::vec(0..70u32, 0..6), 1..40usize).prop_map(|(kind, body, size)| chunks(&message(kind, &words(&body)), size)),
            (0..3u32, any::<u32>()).prop_map(|(port, size)| words(&[port, size])),
        ], 0..40)
    ) {
        let clipboard = Arc::<Clipboard>::default();
        let (viewer, _) = party(&clipboard);
        let agent = Agent::new(&clipboard);
        for piece in pieces {
            agent.write(&piece);
            viewer.put("text");
            viewer.news();
        }
        agent.hung_up();
        heard(&agent);
        say(&agent, 6, &words(&[1, 1 << 5]));
        prop_assert_eq!(heard(&agent).first().map(|m| m.0), Some(6));
        say(&agent, 4, &[words(&[1]), b"still well".to_vec()].concat());
        let news = viewer.news();
        prop_assert_eq!(news.as_deref(), Some("still well"));
    }
}
