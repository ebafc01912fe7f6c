//! `--display window`: a window on the desktop of whoever starts kiln, in builds with the feature `window`.

#[cfg(feature = "window")]
mod hands;
#[cfg(feature = "window")]
mod x11;

use super::Kind;
use crate::config::OptionDoc;
#[cfg(feature = "window")]
use {crate::spec, x11::Window};

#[cfg(feature = "window")]
spec! {
    struct Spec {
        /// Where the window opens, as X names it; without it what DISPLAY says
        screen: String = "",
    }
}

#[cfg(feature = "window")]
const OPTIONS: &[OptionDoc] = Spec::OPTIONS;
#[cfg(not(feature = "window"))]
const OPTIONS: &[OptionDoc] = &[];

pub static KIND: Kind = Kind {
    name: "window",
    about: "In a window (X11, or XWayland), if kiln was built for that.",
    options: OPTIONS,
    heard: |_| Ok(false),
    #[cfg(feature = "window")]
    open: |options, room| {
        let spec = Spec::parse(options)?;
        let name = Some(spec.screen.as_str()).filter(|name| !name.is_empty());
        Ok(Box::new(Window::open(name, room)?))
    },
    #[cfg(not(feature = "window"))]
    open: |_, _| anyhow::bail!("this kiln was built without windows: build it with --features window, or use --display web"),
};

#[cfg(all(test, feature = "window"))]
mod tests;
