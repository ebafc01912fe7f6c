use super::super::sample::{Part, elf};
use super::*;
use proptest::prelude::*;

fn none(_: u64, _: usize) -> Result<Vec<u8>> {
    bail!("not here")
}

fn refusal(bytes: &[u8]) -> String {
    parse(bytes, none).unwrap_err().to_string()
}

#[test]
fn both_classes_are_read_alike() {
    for (wide, class) in [(true, Class::Elf64), (false, Class::Elf32)] {
        let mut data = Part::load(0x10_0000, b"code");
        data.memsz = 0x100;
        data.vaddr = 0xc010_0000;
        let file = elf(wide, 0x10_0002, &[Part::note(vec![1, 2, 3]), data]);
        let program = parse(&file, none).unwrap();
        let segment =
            Segment { offset: 0x210, vaddr: 0xc010_0000, paddr: 0x10_0000, filesz: 4, memsz: 0x100, align: 4 };
        assert_eq!((program.class, program.entry), (class, 0x10_0002));
        assert_eq!(program.segments, [segment]);
        assert_eq!((program.notes.len(), program.notes[0].offset, program.notes[0].filesz), (1, 0x200, 3));
    }
}

#[test]
fn distant_program_headers_are_fetched() {
    let mut file = elf(true, 0x10_0000, &[Part::load(0x10_0000, b"code")]);
    let phdr = file[64..120].to_vec();
    file[32..40].copy_from_slice(&0x10_0000u64.to_le_bytes());
    let program = parse(&file, |at, len| {
        assert_eq!((at, len), (0x10_0000, 56));
        Ok(phdr.clone())
    });
    assert_eq!(program.unwrap().segments[0].paddr, 0x10_0000);
    assert!(parse(&file, |_, _| Ok(phdr[..40].to_vec())).unwrap_err().to_string().contains("cut off"));
}

#[test]
fn what_is_no_kernel_is_named() {
    let good = elf(true, 0x10_0000, &[Part::load(0x10_0000, b"code")]);
    let with = |at: usize, value: u8| {
        let mut file = good.clone();
        file[at] = value;
        file
    };
    assert!(refusal(&with(18, 183)).contains("aarch64"));
    assert!(refusal(&with(18, 243)).contains("RISC-V"));
    assert!(refusal(&with(5, 2)).contains("big-endian"));
    assert!(refusal(&with(16, 1)).contains("object file"));
    assert!(refusal(&with(16, 4)).contains("core dump"));
    assert!(refusal(&with(4, 1)).contains("do not fit"));
    assert!(refusal(&with(56, 0)).contains("without program headers"));
    assert!(refusal(&with(57, 1)).contains("more than any kernel"));
    assert!(refusal(&with(54, 1)).contains("have 1 bytes"));
    assert!(refusal(&with(64, 3)).contains("interpreter"));
    assert!(refusal(&with(64, 2)).contains("nothing to load"));
    assert!(refusal(&good[..40]).contains("cut off"));
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300), wide in any::<bool>()) {
        let mut file = elf(wide, 0x10_0000, &[Part::load(0x10_0000, b"code")]);
        file.truncate(20);
        file.extend(bytes);
        let _ = parse(&file, none);
    }
}
