use super::*;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

const FORMAT: Format = Format { sample: Sample::S16, channels: 2, rate: 48000 };

#[test]
fn a_wav_file_is_right_after_every_piece() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.wav");
    let mut wav = Wav::create(&path, FORMAT).unwrap();
    assert_eq!(fs::read(&path).unwrap().len(), 44);
    wav.start(FORMAT);
    wav.write(&[1; 400]);
    wav.write(&[2; 80]);
    // The guest may end at any time.
    let bytes = fs::read(&path).unwrap();
    let expected: &[u8] =
        b"RIFF\x04\x02\0\0WAVEfmt \x10\0\0\0\x01\0\x02\0\x80\xbb\0\0\0\xee\x02\0\x04\0\x10\0data\xe0\x01\0\0";
    assert_eq!(&bytes[..44], expected);
    assert_eq!((bytes.len(), bytes[44 + 399], bytes[44 + 400]), (44 + 480, 1, 2));
    let float = Format { sample: Sample::Float, ..FORMAT };
    drop(Wav::create(&path, float).unwrap());
    let bytes = fs::read(&path).unwrap();
    assert_eq!((bytes.len(), bytes[20], bytes[34]), (44, 3, 32), "it is made anew");
    assert!(Wav::create(&dir.path().join("no/a.wav"), FORMAT).err().unwrap().to_string().starts_with("create "));
}

/// A program of that name that keeps its arguments and its input.
fn program(dir: &Path, name: &str, help: &str) {
    let path = dir.join(name);
    let script = format!(
        "#!/bin/sh\n[ \"$1\" = --help ] && {{ touch {0}/asked; echo '{help}'; exit; }}\necho \"$*\" >{0}/words\ncat >{0}/heard\nmv {0}/heard {0}/all\n",
        dir.display()
    );
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn wait_for(path: &Path) -> Vec<u8> {
    loop {
        match fs::read(path) {
            Ok(bytes) => return bytes,
            Err(_) => std::thread::yield_now(),
        }
    }
}

#[test]
fn a_program_plays_what_it_is_given() {
    let cases = [
        ("aplay", "", Sample::U8, "-q -t raw -fU8 -r48000 -c2"),
        ("pw-cat", "", Sample::S32, "--playback --rate 48000 --channels 2 --format s32 -"),
        ("pw-cat", "-a, --raw", Sample::S16, "--playback --rate 48000 --channels 2 --format s16 --raw -"),
        (
            "pacat",
            "",
            Sample::Float,
            "--playback --raw --client-name=kiln --rate=48000 --channels=2 --format=float32le",
        ),
    ];
    for (name, help, sample, words) in cases {
        let dir = tempfile::tempdir().unwrap();
        program(dir.path(), name, help);
        let mut player = Player::find(dir.path().as_os_str()).unwrap();
        let asked = || dir.path().join("asked").exists();
        assert!(!asked(), "{name}: nothing plays yet");
        let format = Format { sample, ..FORMAT };
        player.start(format);
        assert_eq!(asked(), name == "pw-cat", "{name}");
        player.write(&[7; 6000]);
        player.stop();
        // It hears all of it, and then it may end.
        let heard = wait_for(&dir.path().join("all"));
        let lead = 48 * 60 * format.frame() as usize;
        assert_eq!(heard.len(), lead + 6000, "{name}");
        assert!(
            heard[..lead].iter().all(|byte| *byte == sample.silence()) && heard[lead..].iter().all(|byte| *byte == 7)
        );
        assert_eq!(fs::read_to_string(dir.path().join("words")).unwrap().trim(), words);
    }
}

#[test]
fn a_player_that_ends_or_hangs_keeps_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let hangs = "#!/bin/sh\nexec sleep 1000\n";
    let scripts = [("aplay", "#!/bin/sh\nexit 1\n"), ("aplay", hangs), ("aplay", "no program\n"), ("pw-cat", hangs)];
    for (name, script) in scripts {
        let path = dir.path().join(name);
        let _ = fs::remove_file(&path);
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let mut player = Player::find(dir.path().as_os_str()).unwrap();
        for _ in 0..3 {
            player.start(FORMAT);
            (0..100).for_each(|_| player.write(&[0; 4096]));
            player.stop();
        }
    }
    let none = Player::find(std::ffi::OsStr::new("/nowhere")).err().unwrap().to_string();
    assert!(none.starts_with("none of pacat, pw-cat, aplay is on PATH"), "{none}");
}
