use super::*;
use crate::mem::Memory;
use std::sync::Arc;

fn guest() -> Guest {
    let memory = Memory::new(&[(0, 0x2000)], None).unwrap();
    memory.write(0x1000, b"Linux version").unwrap();
    Guest::new(Vec::new(), memory, Arc::default())
}

#[test]
fn physical_memory_is_shown() {
    let mut guest = guest();
    let shown = carry_out(&mut guest, " phys 0x1000  20 ");
    let wanted = "0x000000001000: 4c 69 6e 75 78 20 76 65 72 73 69 6f 6e 00 00 00  Linux.version...\n\
                  0x000000001010: 00 00 00 00                                      ....\n";
    assert_eq!(shown, wanted);
    for (command, why) in [
        ("phys 0x1ff0 17", "not in memory"),
        ("phys 0 4097", "at most 4096 bytes"),
        ("phys zero 1", "`zero` is no number"),
        ("phys 0 -1", "`-1` is no number"),
        ("phys", "is none of these"),
        ("\u{1b}[2J", "`\\u{1b}[2J` is none of these"),
    ] {
        assert!(carry_out(&mut guest, command).contains(why), "{command}");
    }
}

#[test]
fn help_names_every_command() {
    let mut guest = guest();
    for line in HELP.lines() {
        let command = line.split("  ").next().unwrap().replace("ADDRESS", "0").replace("LENGTH", "1");
        assert!(!carry_out(&mut guest, &command).contains("is none of these"), "{command}");
    }
    assert_eq!(carry_out(&mut guest, "help"), HELP);
    assert_eq!(guest.wish, Some(Wish::Quit));
}
