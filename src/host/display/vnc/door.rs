//! How a client gets in (RFC 6143, section 7.2).

use super::greet::{Greeting, NONE};
use anyhow::Result;

/// Who may look.
#[derive(Debug, Clone, Default)]
pub enum Door {
    /// Whoever comes this far: something else has asked who it is, or it is this machine's own people.
    #[default]
    Open,
}

/// Whether it may come in, or why not, in words for the client.
pub type Verdict = Result<(), &'static str>;

impl Door {
    /// The security types that a client may choose from.
    pub fn offers(&self) -> Vec<u8> {
        match self {
            Door::Open => vec![NONE],
        }
    }

    /// Whether RFB 3.3 has this type.
    pub fn is_old(offer: u8) -> bool {
        offer == NONE
    }

    /// Asks a client that chose this type.
    pub fn ask<'a>(&self, greeting: Greeting<'a>, _chosen: u8) -> Result<(Greeting<'a>, Verdict)> {
        match self {
            Door::Open => Ok((greeting, Ok(()))),
        }
    }
}
