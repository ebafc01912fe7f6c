//! What programs rely on, each said by a script that must say the same on the mount as on a plain directory.

use super::kernel::mounted;
use super::script::{Script, picture};
use super::*;
use std::os::unix::fs::PermissionsExt;

/// Runs `script` on both. A line may end with `= WHAT`, which the plain directory must have said.
pub fn the_same(settings: Settings, script: &str) {
    let open = |dir: &Path| fs::set_permissions(dir, fs::Permissions::from_mode(0o777)).unwrap();
    mounted(settings, open, |m| {
        let reference = tempfile::tempdir().unwrap();
        open(reference.path());
        Server::prepare_thread().unwrap();
        let (mut plain, mut shared) = (Script::new(reference.path()), Script::new(m.path()));
        for line in script.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')) {
            let (line, expected) = line.split_once(" = ").map_or((line, None), |(l, e)| (l, Some(e)));
            let (a, b) = (plain.line(line), shared.line(line));
            assert_eq!(b, a, "shared (left) and plain after `{line}`");
            if let Some(expected) = expected {
                let wanted = errno(expected).map_or(expected.to_string(), |n| format!("\"errno {n}\""));
                assert_eq!(a, wanted, "`{line}`");
            }
        }
        assert_eq!(picture(m.plain()), picture(reference.path()));
        assert_eq!(picture(m.path()), picture(reference.path()));
    });
}

fn errno(name: &str) -> Option<i32> {
    Some(match name {
        "ENOENT" => libc::ENOENT,
        "EEXIST" => libc::EEXIST,
        "EISDIR" => libc::EISDIR,
        "ENOTDIR" => libc::ENOTDIR,
        "ENOTEMPTY" => libc::ENOTEMPTY,
        "EINVAL" => libc::EINVAL,
        "ELOOP" => libc::ELOOP,
        "ENAMETOOLONG" => libc::ENAMETOOLONG,
        "EACCES" => libc::EACCES,
        "EPERM" => libc::EPERM,
        "ENXIO" => libc::ENXIO,
        "ENODATA" => libc::ENODATA,
        "ERANGE" => libc::ERANGE,
        "EBADF" => libc::EBADF,
        "EOPNOTSUPP" => libc::EOPNOTSUPP,
        "EROFS" => libc::EROFS,
        "EFBIG" => libc::EFBIG,
        _ => return None,
    })
}

cases! {
    opening_and_creating: "
        open a f rw = ENOENT
        open a f rw|creat|excl 0640 = ok
        stat f
        open b f rw|creat|excl 0640 = EEXIST
        open b f rw|creat 0600 = ok
        write a hello = 5
        pread b 0 10
        open c f r|trunc = ok
        fstat a
        open c f w|trunc = ok
        fstat a
        open d . r|dir = ok
        open d f r|dir = ENOTDIR
        open d . rw = EISDIR
        open d f/x r = ENOTDIR
        open d f/x rw|creat 0644 = ENOTDIR
        open d no/x rw|creat 0644 = ENOENT
        open d %255 rw|creat 0644 = ok
        open d %256 rw|creat 0644 = ENAMETOOLONG
        open e g w|creat 0000 = ok
        write e secret = 6
        stat g
        read g
        open h special rw|creat 06755 = ok
        stat special
        close h
        mkdir e/x 0755 = ENOENT
        ls .",
    writing_and_appending: "
        open a f rw|creat 0644 = ok
        open b f w|append = ok
        open c f w|append = ok
        write a 0123456789 = 10
        write b AB = 2
        write c CD = 2
        write b EF = 2
        pwrite b 0 xx = 2
        read f
        pwrite a 100000 end = 3
        pread a 16 100 
        pread a 99990 100
        pread a 200000 10
        write b !
        fstat a
        open d f w|sync = ok
        pwrite d 3 ab*500000 = 1000000
        pread a 0 1000100
        fsync a = ok
        pread b 0 4 = EBADF
        open e f r = ok
        write e x = EBADF
        ftruncate e 0 = EINVAL",
    a_file_without_a_name_lives_on: "
        open p f path = ENOENT
        open a f rw|creat 0644 = ok
        write a content = 7
        open p f path = ok
        open q f path = ok
        unlink f = ok
        stat f = ENOENT
        fstat a
        pread a 0 100
        pwrite a 3 XYZ = 3
        ftruncate a 5 = ok
        fchmod a 0600 = ok
        futimens a 5 6 = ok
        fstat a
        pread a 0 100
        open b f rw|creat|excl 0640 = ok
        fstat b
        fstat a
        close a
        fstat p
        fchmod p 0600 = EBADF
        mkdir d 0755
        open d d r|dir
        mkdir e 0755
        open e e path
        rmdir e = ok
        fstat e
        mkdir g 0755
        mkdir h 0755
        open g g path
        rename h g = ok
        fstat g
        rmdir d = ok
        fstat d",
    a_file_replaced_lives_on: "
        open a f rw|creat 0644
        write a old
        open b g rw|creat 0644
        write b new
        rename g f = ok
        read f
        pread a 0 10
        pread b 0 10
        fstat a
        fstat b
        unlink f
        fstat b",
    hard_links: "
        open a f rw|creat 0644
        link f g = ok
        link f g = EEXIST
        same f g = true
        stat g
        write a x
        read g
        unlink f = ok
        stat g
        fstat a
        write a y
        read g
        rename g h
        link h i
        rename h i = ok
        ls .
        mkdir d 0755
        link d e = EPERM
        link no e = ENOENT
        symlink h s
        link s t = ok
        stat t
        link h d/in
        unlink h
        unlink i
        write a z
        read d/in
        fstat a",
    symbolic_links: "
        symlink target l = ok
        symlink target l = EEXIST
        readlink l = target
        stat l
        follow l = ENOENT
        open a l rw|creat 0644 = ok
        write a via
        read target
        read l
        open b l r|nofollow = ELOOP
        open b l rw|creat|excl 0644 = EEXIST
        symlink loop loop
        open b loop r = ELOOP
        symlink ../../../../../../../../../../../../etc/hostname out
        readlink out
        follow out
        symlink /etc abs
        readlink abs
        follow abs/hostname
        mkdir d 0755
        symlink d ld
        open c ld/f rw|creat 0644
        ls ld
        rename l d/l
        readlink d/l
        unlink ld = ok
        ls d
        chmod d/l 0600 = ENOENT
        chown d/l 12 13
        stat d/l
        utimens d/l 100 200
        times d/l
        symlink x*4095 long
        rmdir out = ENOTDIR
        unlink out",
    directories: "
        mkdir d 0755 = ok
        mkdir d 0755 = EEXIST
        mkdir d/e 0700
        mkdir d/e/f 01777
        stat d
        stat d/e/f
        rmdir d = ENOTEMPTY
        unlink d = EISDIR
        open a d/x rw|creat 0644
        mkdir d/x/y 0755 = ENOTDIR
        mkdir d/x 0755 = EEXIST
        rmdir d/x = ENOTDIR
        ls d
        unlink d/x
        rmdir d/e/f
        rmdir d/e
        rmdir d = ok
        rmdir d = ENOENT
        mkdir %255 0755 = ok
        mkdir %256 0755 = ENAMETOOLONG
        mkdir sg 02775
        chown sg 0 55
        chmod sg 02775
        mkdir sg/sub 0755
        open b sg/file rw|creat 0644
        stat sg/sub
        stat sg/file",
    renaming: "
        mkdir a 0755
        mkdir b 0755
        open f a/f rw|creat 0644
        write f F
        open g b/g rw|creat 0644
        write g G
        rename a/f b/h = ok
        ls a
        ls b
        read b/h
        rename a b = ENOTEMPTY
        rename a b/g = ENOTDIR
        rename b/g a = EISDIR
        rename b b/c = EINVAL
        rename no x = ENOENT
        rename b/h b/h = ok
        mkdir c 0755
        rename b c = ok
        read c/g
        pread f 0 5
        rename2 c/g c/h 1 = EEXIST
        rename2 c/g c/i 1 = ok
        rename2 c/i c/h 2 = ok
        read c/i
        read c/h
        rename2 c/i c/no 2 = ENOENT
        rename2 c/i a 2 = ok
        ls .
        ls c
        read a
        rename2 c/h x 3 = EINVAL
        rename c/h %255 = ok
        rename %255 %256 = ENAMETOOLONG
        mkdir deep 0755
        mkdir deep/er 0755
        open z deep/er/z rw|creat 0644
        write z zz
        rename deep shallow
        read shallow/er/z
        rename shallow/er er
        read er/z
        pwrite z 0 Y
        read er/z",
}

#[test]
fn a_read_only_share_changes_nothing() {
    let fill = |dir: &Path| {
        fs::create_dir(dir.join("d")).unwrap();
        fs::write(dir.join("f"), b"content").unwrap();
        std::os::unix::fs::symlink("f", dir.join("l")).unwrap();
    };
    mounted(RO, fill, |m| {
        let before = (picture(m.plain()), Script::new(m.plain()).line("times f"));
        let mut script = Script::new(m.path());
        for line in [
            "open a new rw|creat 0644",
            "open a f rw",
            "open a f r|trunc",
            "open a . rw|tmp 0600",
            "mkdir x 0755",
            "rmdir d",
            "unlink f",
            "rename f g",
            "rename2 f d 2",
            "link f g",
            "symlink a b",
            "mknod p 0010644 0",
            "chmod f 0600",
            "chown f 1 1",
            "truncate f 0",
            "utimens f 1 1",
            "setxattr f user.x y 0",
            "rmxattr f user.x",
        ] {
            assert_eq!(script.line(line), format!("\"errno {}\"", libc::EROFS), "{line}");
        }
        assert_eq!(script.line("read l"), "\"conten\"+1x't'");
        assert_eq!(script.line("ls ."), "[..:4 .:4 d:4 f:8 l:10]");
        assert_eq!((picture(m.plain()), Script::new(m.plain()).line("times f")), before);
    });
}

#[test]
fn appending_goes_to_where_the_end_is_now() {
    mounted(
        RW,
        |_| (),
        |m| {
            let (mut here, mut there) = (Script::new(m.path()), Script::new(m.plain()));
            here.line("open a f w|append|creat 0644");
            assert_eq!(here.line("write a guest"), "5");
            there.line("open a f w|append");
            assert_eq!(there.line("write a HOST"), "4");
            assert_eq!(here.line("write a more"), "4");
            assert_eq!(fs::read(m.plain().join("f")).unwrap(), b"guestHOSTmore");
        },
    );
}
