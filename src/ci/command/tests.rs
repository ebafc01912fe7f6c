use super::*;
use crate::ci::file::File;
use crate::ci::matrix::expand;

fn line(text: &str, ends: Option<Ends<'_>>) -> String {
    let boots = expand(&File::parse("f", text).unwrap()).unwrap();
    quoted(&arguments(&boots[0], ends))
}

#[test]
fn a_command_is_for_exec() {
    let text = "[kernels.k]\npath='bz Image'\nmodules='m'\nappend='quiet'\n[machines.m]\ncpus=2\nmemory='2G'\ntransport='mmio'\n\
                [tests.t]\ncommand=['a', \"it's\", '']\ntimeout='30s'\nenv={A='b c'}\nrw='out'\nro=['x']\ncwd='d'\nuser='u'\n\
                args=['--net', 'tap=t0']\ninitrd='i'\n";
    let ends = Ends { klog: 7, result: Path::new("/r") };
    assert_eq!(
        line(text, Some(ends)),
        "exec --cpus 2 --memory 2G --timeout 30s --transport mmio --append quiet --initrd i --result /r --klog fd=7 \
         --kernel 'bz Image' --modules m --fail-on panic,oops --rw out --ro x --env 'A=b c' --cwd d --user u \
         --net tap=t0 -- a 'it'\\''s' ''"
    );
    assert!(line("[tests.t]\ncommand='a | b'", None).ends_with("--fail-on panic,oops -- sh -c 'a | b'"));
}

#[test]
fn without_a_command_it_is_for_run() {
    let text = "[kernels.k]\npath='-k'\n[tests.t]\nawait='login:'\nargs=['--disk', 'a.img']";
    let ends = Ends { klog: 7, result: Path::new("/r") };
    let want = "run --cpus 1 --memory 1G --timeout 5m --result /r --reboot exit --disk a.img -- -k";
    assert_eq!(line(text, Some(ends)), want);
    assert!(!line("[tests.t]\nawait='x'", None).contains("--result"));
}
