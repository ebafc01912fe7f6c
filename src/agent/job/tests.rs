use super::*;
use proptest::prelude::*;

fn string() -> impl Strategy<Value = OsString> {
    prop::collection::vec(any::<u8>(), 0..20).prop_map(OsString::from_vec)
}

prop_compose! {
    fn job()(
        argv in prop::collection::vec(string(), 0..5),
        env in prop::collection::vec((string(), string()), 0..5),
        (cwd, hostname) in (string(), string()),
        user in prop::option::of(string()),
        terminal in prop::option::of((any::<u16>(), any::<u16>(), string())),
        shares in prop::collection::vec((string(), string(), any::<bool>()), 0..4),
        overlay in any::<bool>(),
        tmpfs in prop::option::of(any::<u64>()),
    ) -> Job {
        Job {
            argv,
            env,
            cwd: cwd.into(),
            user,
            terminal: terminal.map(|(columns, rows, term)| Terminal { columns, rows, term }),
            shares: shares.into_iter().map(|(tag, path, writable)| Share { tag, path: path.into(), writable }).collect(),
            overlay,
            tmpfs,
            hostname,
        }
    }
}

proptest! {
    #[test]
    fn every_job_comes_back(job in job(), key in any::<Key>()) {
        prop_assert_eq!(Job::decode(&job.encode(&key)), Ok((job, key)));
    }

    #[test]
    fn a_part_of_a_job_is_none(job in job(), cut in any::<prop::sample::Index>()) {
        let bytes = job.encode(&[7; 16]);
        prop_assert!(Job::decode(&bytes[..cut.index(bytes.len())]).is_err());
    }

    #[test]
    fn anything_is_read_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Job::decode(&bytes);
    }

    /// Counts and lengths of 2^64-1 in every place.
    #[test]
    fn forged_lengths_allocate_nothing(job in job(), at in any::<prop::sample::Index>()) {
        let mut bytes = job.encode(&[7; 16]);
        let at = at.index(bytes.len());
        let len = bytes.len();
        bytes[at..len.min(at + 8)].fill(0xff);
        let _ = Job::decode(&bytes);
    }
}
