use super::*;

fn facts() -> Facts {
    Facts {
        processor: Processor { engine: Some(Engine::Vmx), hypervisor: None },
        registered: true,
        node: Some(Node { mode: 0o20660, gid: 104, group: "kvm".into(), listed: false }),
        user: "ada".into(),
        root: false,
        groups: vec![1000],
    }
}

fn node(mode: u32, listed: bool) -> Option<Node> {
    Some(Node { mode, gid: 104, group: "kvm".into(), listed })
}

#[track_caller]
fn says(errno: i32, facts: Facts, words: &[&str]) {
    let advice = advise(errno, &facts);
    assert!(words.iter().all(|w| advice.contains(w)), "{advice}");
    assert!(!advice.contains('\n') && !advice.contains("  "), "one line: {advice}");
}

#[test]
fn no_permission_names_the_group_and_the_command() {
    says(libc::EACCES, facts(), &["group kvm", "sudo usermod -aG kvm ada", "log in again"]);
    says(libc::EACCES, Facts { node: node(0o20660, true), ..facts() }, &["newgrp kvm"]);
    says(libc::EACCES, Facts { node: node(0o20600, false), ..facts() }, &["setfacl -m u:ada:rw", "udev"]);
    says(libc::EACCES, Facts { groups: vec![1000, 104], ..facts() }, &["security policy"]);
    says(libc::EACCES, Facts { root: true, ..facts() }, &["security policy"]);
    says(libc::EPERM, facts(), &["--device /dev/kvm"]);
}

#[test]
fn a_missing_device_has_several_reasons() {
    let gone = Facts { node: None, registered: false, ..facts() };
    says(libc::ENOENT, gone.clone(), &["modprobe kvm_intel"]);
    let cpu = |engine, hypervisor: Option<&str>| Processor { engine, hypervisor: hypervisor.map(String::from) };
    says(libc::ENOENT, Facts { processor: cpu(Some(Engine::Svm), None), ..gone.clone() }, &["modprobe kvm_amd"]);
    says(libc::ENOENT, Facts { processor: cpu(None, None), ..gone.clone() }, &["neither VT-x nor SVM", "firmware"]);
    says(libc::ENODEV, Facts { processor: cpu(None, Some("Xen")), ..gone }, &["under Xen", "nested"]);
    says(libc::ENOENT, Facts { node: None, ..facts() }, &["mknod /dev/kvm c 10 232", "--device"]);
}

#[test]
fn other_errors() {
    says(libc::EBUSY, facts(), &["VirtualBox"]);
    says(libc::ENOMEM, facts(), &["memory"]);
    assert_eq!(advise(libc::EIO, &facts()), "");
    let error = explain("create VM", kvm_ioctls::Error::new(libc::EBUSY)).to_string();
    assert!(error.starts_with("create VM: ") && error.contains("; another hypervisor"), "{error}");
}

#[test]
fn the_group_table_is_read() {
    let table = "root:x:0:\nbroken\nkvm:x:104:bob,ada\nusers:x:100:\n";
    assert_eq!(group(table, 104, "ada"), ("kvm".into(), true));
    assert_eq!(group(table, 104, "eve"), ("kvm".into(), false));
    assert_eq!(group(table, 7, "ada"), ("7".into(), false));
}
