//! `--display none`: the guest has a screen, and nothing shows it.

use super::{Display, Kind};

pub static KIND: Kind = Kind {
    name: "none",
    about: "The guest has a screen, which nothing shows.",
    options: &[],
    heard: |_| Ok(false),
    open: |options, _room| {
        options.only(&[])?;
        Ok(Box::new(None))
    },
};

struct None;

impl Display for None {}
