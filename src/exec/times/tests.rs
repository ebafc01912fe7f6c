use super::*;

fn times() -> Times {
    let mut times = Times::since(Instant::now());
    let at = |us| Some(times.start + Duration::from_micros(us));
    (times.first_instruction, times.kernel, times.command_end) = (at(1500), at(2000), at(250_250));
    times.initcalls = vec![
        Initcall { name: "pci_init".to_string(), us: 12 },
        Initcall { name: "nothing".to_string(), us: 0 },
        Initcall { name: "acpi_\"init\"".to_string(), us: 1234 },
    ];
    times
}

#[test]
fn what_was_not_reached_is_left_out() {
    let names: Vec<_> = times().stages().iter().map(|s| s.name).collect();
    assert_eq!(names, ["kiln start", "first guest instruction", "kernel entry", "command end"]);
    assert_eq!(Times::since(Instant::now()).stages().len(), 1);
}

#[test]
fn rows_give_each_step_and_the_slowest_initcalls_first() {
    let rows = times().rows();
    let rows: Vec<_> = rows.iter().map(|r| r.join("|")).collect();
    assert_eq!(
        rows,
        [
            "kiln start|0.0 ms|",
            "first guest instruction|1.5 ms|+1.5 ms",
            "kernel entry|2.0 ms|+0.5 ms",
            "command end|250.2 ms|+248.2 ms",
            "initcall acpi_\"init\"||1.2 ms",
            "initcall pci_init||0.0 ms",
        ]
    );
    let mut many = times();
    many.initcalls = (1..100).map(|us| Initcall { name: format!("c{us}"), us }).collect();
    assert_eq!(many.rows().len(), 4 + SLOWEST);
    assert_eq!(many.rows()[4][0], "initcall c99");
}

#[test]
fn json_has_every_stage_and_every_initcall() {
    let json: serde_json::Value = serde_json::from_str(&times().json()).unwrap();
    assert_eq!(json["stages"][1], serde_json::json!({"name": "first guest instruction", "ms": 1.5}));
    assert_eq!(json["stages"][3]["ms"], 250.25);
    assert_eq!(json["initcalls"].as_array().unwrap().len(), 3);
    assert_eq!(json["initcalls"][2], serde_json::json!({"name": "acpi_\"init\"", "us": 1234}));
    assert!(!times().json().contains('\n'));
}
