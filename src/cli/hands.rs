//! `kiln type`, `kiln keys` and `kiln click`: hands at a machine's keyboard and mouse.

use super::Status;
use super::flags::{self, text};
use super::screenshot::{find, machine};
use anyhow::{Context, Result};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use serde_json::{Value, json};

fn pace() -> Arg {
    text("pace", "TIME", "Wait so long after each press and each release, such as 50ms").default_value("10ms")
}

pub fn type_command() -> Command {
    let what = "What to type, as the guest's keyboard layout has it; a line's end is Enter";
    let what = Arg::new("TEXT").required(true).allow_hyphen_values(true).help(what);
    Command::new("type").about("Type text on a machine's keyboard").args([machine(), what, pace()])
}

pub fn keys_command() -> Command {
    let what = "Keys to press together, such as ctrl-alt-f2; several are pressed one after the other";
    let what = Arg::new("KEYS").required(true).num_args(1..).allow_hyphen_values(true).help(what);
    Command::new("keys").about("Press keys of a machine's keyboard").args([machine(), what, pace()])
}

pub fn click_command() -> Command {
    let pixel = |name: &'static str, help: &'static str| {
        Arg::new(name).required(true).value_parser(value_parser!(u32)).help(help)
    };
    let args = [
        machine(),
        pixel("X", "Pixels from the left edge of the screen"),
        pixel("Y", "Pixels from its top"),
        text("button", "BUTTON", "Which button")
            .value_parser(["left", "middle", "right", "back", "forward"])
            .default_value("left"),
        Arg::new("double").long("double").action(ArgAction::SetTrue).help("Click twice"),
        pace(),
    ];
    Command::new("click").about("Move a machine's pointer, and click").args(args)
}

pub fn type_text(m: &ArgMatches) -> Result<Status> {
    let what = m.get_one::<String>("TEXT").context("say what to type")?;
    call(m, "/v1/type", json!({ "text": what }))
}

pub fn keys(m: &ArgMatches) -> Result<Status> {
    let what: Vec<_> = m.get_many::<String>("KEYS").into_iter().flatten().collect();
    call(m, "/v1/keys", json!({ "keys": what }))
}

pub fn click(m: &ArgMatches) -> Result<Status> {
    let (x, y) = (m.get_one::<u32>("X"), m.get_one::<u32>("Y"));
    let (button, double) = (m.get_one::<String>("button"), m.get_flag("double"));
    call(m, "/v1/click", json!({ "x": x, "y": y, "button": button, "double": double }))
}

fn call(m: &ArgMatches, path: &str, mut argument: Value) -> Result<Status> {
    let pace = m.get_one::<String>("pace").map(|text| flags::timeout(text)).transpose().context("--pace")?;
    argument["pace"] = json!(pace.map(|pace| pace.as_millis() as u64));
    find(m)?.call_slowly(path, argument.to_string().as_bytes())?;
    Ok(Status::Success)
}
