use super::*;

fn wrong(text: &str) -> String {
    format!("{:#}", File::parse("kiln.toml", text).expect_err(text))
}

#[test]
fn errors_name_the_line_and_the_key() {
    let test = "[tests.t]\ncommand = 'x'\n";
    let kinds = "there are panic";
    let cases: &[(&str, &str)] = &[
        ("", "kiln.toml: there is no test"),
        ("a = 1", "kiln.toml:1: a: unknown key; there are: defaults, kernels, machines, tests, exclude"),
        ("[tests.t]\ncomand = 'x'", "kiln.toml:2: tests.t.comand: unknown key; there are: command, await, "),
        ("\n[kernels.d]\npathh = 'x'", "kiln.toml:3: kernels.d.pathh: unknown key; there are: path, modules, timeout"),
        ("[machines]\nm = { cpu = 1 }", "kiln.toml:2: machines.m.cpu: unknown key; there are: timeout, cpus, "),
        ("[tests.t]\nexpect.stat = 1", "kiln.toml:2: tests.t.expect.stat: unknown key; there are: status, ends"),
        ("[defaults]\ntimeout = 'soon'", "kiln.toml:2: defaults.timeout: `soon`: want a time such as 30s"),
        ("[defaults]\ntimeout = 0", "kiln.toml:2: defaults.timeout: `0`: want a time"),
        ("[defaults]\nmemory = '1Q'", "kiln.toml:2: defaults.memory: `1Q`: want a size"),
        ("[defaults]\ncpus = 0", "kiln.toml:2: defaults.cpus: `0`: want a number of vCPUs"),
        ("[defaults]\nretry = -1", "kiln.toml:2: defaults.retry: invalid value: integer `-1`"),
        ("[defaults]\nappend = ['x']", "kiln.toml:2: defaults.append: invalid type: sequence, expected a string"),
        ("[defaults]\nrw = 3", "kiln.toml:2: defaults.rw: invalid type: integer `3`, expected a string or a list"),
        ("[defaults]\nfail-on = 'panick'", kinds),
        ("[defaults]\ntransport = 'isa'", "kiln.toml:2: defaults.transport: `isa`: there are: pci, mmio"),
        ("[tests.t]\nawait = '('", "kiln.toml:2: tests.t.await: `(`: "),
        ("[tests.t]\ncommand = []", "kiln.toml:2: tests.t.command: is empty"),
        ("[tests.t]\ncommand = 'x'\nawait = 'y'", "kiln.toml:3: tests.t.await: a test has either"),
        ("[tests.t]\nawait = 'y'\nexpect.status = 1", "kiln.toml:3: tests.t.expect.status: a test with `await`"),
        ("[tests.t]\nawait = 'y'\nuser = 'me'", "kiln.toml:3: tests.t.user: is only for a test with a `command`"),
        ("[tests.t]\nktap = 'output'", "kiln.toml:2: tests.t.ktap: there is no output"),
        ("[tests.'a b']\ncommand = 'x'", "kiln.toml:1: tests.a b: a name has letters"),
        ("[tests.'..']\ncommand = 'x'", "kiln.toml:1: tests...: a name has letters"),
        ("[tests.t]\ncommand = 'x'\n\nkernels = 'k'", "kiln.toml:4: tests.t.kernels: `k` is not in the file"),
        ("[tests.t]\ncommand = 'x'\nexpect = { status = 256 }", "kiln.toml:3: tests.t.expect.status: invalid value"),
        ("[tests.t]\ncommand = 'x'\nexpect = { ends = 'lost', status = 1 }", "kiln.toml:3: tests.t.expect.ends: goes"),
        (
            "[tests.t]\ncommand = 'x'\n[[exclude]]\ntest = 'u'",
            "kiln.toml:4: exclude.test: `u` is not in the file; there are: t",
        ),
        ("[tests.t]\ncommand = 'x'\n[[exclude]]", "kiln.toml:3: exclude: leaves out everything"),
        ("[tests.t]\ncommand = 'x'\ncommand = 'y'", "kiln.toml:3: `command`: duplicate key"),
        ("[tests.t\n", "kiln.toml:1: "),
    ];
    for (text, want) in cases {
        let said = wrong(text);
        assert!(said.contains(want), "{text:?}\n  is: {said}\nwant: {want}");
        assert!(!said.contains('\n'), "{said}");
    }
    File::parse("kiln.toml", test).unwrap();
}

#[test]
fn tables_keep_the_order_of_the_file() {
    let file = File::parse("f", "[tests.z]\ncommand='x'\n[tests.a]\ncommand='x'\n[kernels.q]\n[kernels.b]").unwrap();
    assert_eq!(names(&file.tests), ["z", "a"]);
    assert_eq!(names(&file.kernels), ["q", "b"]);
}

#[test]
fn values_may_be_numbers_strings_and_lists() {
    let text = "[defaults]\ntimeout = 90\ncpus = 'sockets=2,threads=2'\nmemory='size=1G,hugepages=2M'\nfail-on=['panic','kasan']\n\
                [tests.a]\ncommand = 'x y'\nrw = 'd'\n[tests.b]\ncommand = ['x', 'y']\nexpect.report = 'oops'";
    let file = File::parse("f", text).unwrap();
    let defaults = &file.defaults;
    assert_eq!(defaults.timeout.as_ref().unwrap().value.0.as_secs(), 90);
    assert_eq!(defaults.cpus.as_ref().unwrap().value, Vcpus(4));
    assert_eq!(defaults.memory.as_ref().unwrap().value, Memory(1 << 30));
    assert_eq!(defaults.fail_on.unwrap().0.to_string(), "panic,kasan");
    assert_eq!(file.tests[0].1.command, Some(Command::Line("x y".into())));
    assert_eq!(file.tests[0].1.keys().rw.0, ["d"]);
    assert_eq!(file.tests[1].1.command, Some(Command::Words(vec!["x".into(), "y".into()])));
    assert_eq!(file.tests[1].1.expect.report.0, [crate::klog::Kind::Oops]);
}

#[test]
fn lists_add_up_and_the_last_word_counts_for_the_rest() {
    let text = "[defaults]\nappend='a'\nargs=['1']\nretry=1\nuser='u'\nenv={A='1',B='1'}\n\
                [tests.t]\ncommand='x'\nappend='b'\nargs=['2']\nretry=2\nenv={B='2'}";
    let file = File::parse("f", text).unwrap();
    let keys = file.defaults.clone().and(file.tests[0].1.keys());
    assert_eq!(keys.append.as_deref(), Some("a b"));
    assert_eq!(keys.args.0, ["1", "2"]);
    assert_eq!((keys.retry, keys.user.as_deref()), (Some(2), Some("u")));
    assert_eq!(keys.env.into_iter().map(|(k, v)| k + &v).collect::<Vec<_>>(), ["A1", "B2"]);
}

#[test]
fn a_file_that_is_not_there_or_not_text_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let missing = File::read(&dir.path().join("kiln.toml")).unwrap_err();
    assert!(format!("{missing:#}").ends_with("; `kiln ci --help` shows one"), "{missing:#}");
    let binary = dir.path().join("binary");
    std::fs::write(&binary, b"\xff\xfe").unwrap();
    File::read(&binary).unwrap_err();
    assert!(format!("{:#}", File::read(Path::new("/dev/zero")).unwrap_err()).contains("larger"));
}
