use super::*;

fn boots(text: &str) -> Vec<Boot> {
    expand(&File::parse("f", text).unwrap()).unwrap()
}

fn names(boots: &[Boot]) -> Vec<String> {
    boots.iter().map(Boot::name).collect()
}

#[test]
fn everything_runs_on_everything_unless_restricted_or_excluded() {
    let text = "[kernels.a]\n[kernels.b]\n[machines.x]\n[machines.y]\n\
                [tests.all]\ncommand='1'\n[tests.one]\ncommand='1'\nkernels='b'\nmachines=['y']\n\
                [[exclude]]\nkernel='a'\nmachine='x'\n[[exclude]]\ntest='all'\nmachine='y'\nkernel=['a','b']";
    assert_eq!(names(&boots(text)), ["b/x/all", "b/y/one"]);
}

#[test]
fn without_kernels_and_machines_there_is_one_of_each() {
    let all = boots("[tests.t]\ncommand='1'");
    assert_eq!(names(&all), ["default/default/t"]);
    assert_eq!((all[0].cpus(), all[0].memory(), all[0].timeout()), (1, 1 << 30, Duration::from_secs(300)));
}

#[test]
fn filters_look_at_the_whole_name() {
    let all = boots("[kernels.a]\n[kernels.b]\n[tests.t]\ncommand='1'\n[tests.u]\ncommand='1'");
    let filtered = |re: &str| filter(all.clone(), Some(&Regex::new(re).unwrap()));
    assert_eq!(names(&filtered("^b/.*/t$").unwrap()), ["b/default/t"]);
    assert!(format!("{:#}", filtered("nothing").unwrap_err()).contains("none of 4 boots"));
}

#[test]
fn nothing_left_and_too_much_are_errors() {
    let excluded = File::parse("f", "[tests.t]\ncommand='1'\n[[exclude]]\ntest='t'").unwrap();
    assert!(expand(&excluded).is_err());
    let tests: String = (0..400).map(|n| format!("[tests.t{n}]\ncommand='1'\n[kernels.k{n}]\n")).collect();
    assert!(format!("{:#}", expand(&File::parse("f", &tests).unwrap()).unwrap_err()).contains("160000 boots"));
}

#[test]
fn what_is_expected_does_not_fail_a_boot() {
    let fail_on = |test: &str| boots(&format!("[tests.t]\ncommand='1'\n{test}"))[0].fail_on().to_string();
    assert_eq!(fail_on(""), "panic,oops");
    assert_eq!(fail_on("expect.report='oops'"), "panic");
    assert_eq!(fail_on("expect.ends='panic'"), "none");
    assert_eq!(fail_on("expect.status=255\nfail-on=['panic','kasan']"), "kasan");
    assert_eq!(fail_on("fail-on=[]"), "none");
}

#[test]
fn a_missing_kernel_is_told_with_its_line() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("there"), "").unwrap();
    let check = |text: &str| check_files(&File::parse("f", text).unwrap(), dir.path());
    check("[kernels.a]\npath='there'\n[tests.t]\ncommand='1'").unwrap();
    let e = format!("{:#}", check("[kernels.a]\npath='gone'\n[tests.t]\ncommand='1'").unwrap_err());
    assert_eq!(e, "f:2: kernels.a.path: gone: No such file or directory (os error 2)");
    let e = format!("{:#}", check("[tests.t]\nawait='1'\ninitrd=['there', 'gone']").unwrap_err());
    assert!(e.starts_with("f:3: tests.t.initrd: gone: "), "{e}");
}
