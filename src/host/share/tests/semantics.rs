//! What programs rely on, each said by a script that must say the same on the mount as on a plain directory.

use super::kernel::mounted;
use super::script::{Script, picture};
use super::*;
use std::os::unix::fs::PermissionsExt;

/// Runs `script` on both. A line may end with `= WHAT`, which the plain directory must have said.
fn the_same(settings: Settings, script: &str) {
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

/// Each case in every caching mode.
macro_rules! cases {
    ($($name:ident: $script:literal),* $(,)?) => {
        $(#[test]
        fn $name() {
            for cache in [Cache::Auto, Cache::Always, Cache::Never] {
                the_same(Settings { cache, ..RW }, $script);
            }
        })*
    };
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

cases! {
    modes_and_owners: "
        open a f rw|creat 0644
        chmod f 0123 = ok
        stat f
        chmod f 06777
        stat f
        chown f 1000 1001 = ok
        stat f
        chmod f 06755
        write a x
        stat f
        chown f -1 77
        stat f
        chown f 5 -1
        stat f
        mkdir d 0755
        chmod d 02777
        chown d 1000 1000
        stat d
        as 1000 chmod d 0700 = ok
        as 1000 chmod f 0700 = EPERM
        as 1001 open b d/x rw|creat 0644 = EACCES
        as 1000 open b d/x rw|creat 0644 = ok
        stat d/x",
    another_user: "
        mkdir open 0777
        mkdir shut 0755
        mkdir sticky 01777
        mkdir group 02775
        chown group 0 1000
        chmod group 02775
        as 1000 open a open/f rw|creat|excl 0640 = ok
        stat open/f
        as 1000 mkdir open/d 0750 = ok
        as 1000 symlink x open/l
        as 1000 mknod open/fifo 0010600 0 = ok
        stat open/d
        stat open/l
        stat open/fifo
        as 1000 open b shut/f rw|creat 0644 = EACCES
        as 1000 mkdir shut/d 0755 = EACCES
        as 1001 open b open/f r = EACCES
        as 1001 unlink open/f = ok
        as 1000 open c sticky/f rw|creat 0666
        as 1001 unlink sticky/f = EPERM
        as 1001 rename sticky/f sticky/g = EPERM
        as 1001 chmod sticky/f 0600 = EPERM
        as 1001 chown sticky/f 1001 1001 = EPERM
        as 1000 chown sticky/f 1001 -1 = EPERM
        as 1000 open d group/f rw|creat 02755
        stat group/f
        as 1000 mkdir group/d 0755
        stat group/d
        as 1001 open e group/g rw|creat 0644 = EACCES
        chmod group 02777
        as 1001 open e group/g rw|creat 02755
        stat group/g
        as 1000 mknod open/dev 0020600 259 = EPERM
        open s open/suid rw|creat 0644
        chmod open/suid 06777
        as 1000 open t open/suid w
        as 1000 write t data
        stat open/suid
        chmod open/suid 06777
        as 1000 truncate open/suid 2
        stat open/suid
        chmod open/suid 06777
        as 1000 open u open/suid w|trunc
        stat open/suid
        chmod open/suid 04755
        as 1001 read open/suid
        as 1000 open v open/special rw|creat 06755
        stat open/special",
    sizes_and_times: "
        open a f rw|creat 0644
        write a 0123456789
        truncate f 4 = ok
        read f
        truncate f 100000
        read f
        truncate f -1 = EINVAL
        ftruncate a 3
        fstat a
        ftruncate a 9223372036854775807 = EFBIG
        mkdir d 0755
        truncate d 0 = EISDIR
        truncate no 0 = ENOENT
        utimens f 1000 2000 = ok
        times f
        utimens f 0 -5
        times f
        utimens d 4000000000 8000000000
        times d
        as 1000 utimens f 1 1 = EPERM
        chmod f 0444
        ftruncate a 7 = ok
        as 1000 truncate f 1 = EACCES
        fstat a",
    special_files: "
        mknod fifo 0010644 0 = ok
        mknod sock 0140644 0 = ok
        mknod file 0100640 0 = ok
        mknod dev 0020600 259 = ok
        stat fifo
        stat sock
        stat file
        stat dev
        open a fifo w|nonblock = ENXIO
        open a fifo r|nonblock = ok
        open b fifo w|nonblock = ok
        write b piped = 5
        open c sock r = ENXIO
        ls .
        mknod fifo 0010644 0 = EEXIST
        unlink fifo
        unlink sock",
    extended_attributes: "
        open a f rw|creat 0644
        mkdir d 0755
        symlink f l
        getxattr f user.x 100 = ENODATA
        setxattr f user.x value 0 = ok
        setxattr f user.x value 1 = EEXIST
        setxattr f user.y value 2 = ENODATA
        getxattr f user.x 100
        getxattr f user.x 0
        getxattr f user.x 2 = ERANGE
        setxattr f user.empty @ 0
        getxattr f user.empty 10
        setxattr d trusted.t secret 0 = ok
        getxattr d trusted.t 100
        as 1000 getxattr d trusted.t 100 = ENODATA
        setxattr d trusted.overlay.opaque y 0
        listxattr d 1000
        listxattr d 0
        listxattr f 1000
        listxattr f 3 = ERANGE
        setxattr l user.x v 0 = EPERM
        setxattr l trusted.x v 0 = ok
        listxattr l 100
        setxattr f user.big b*2000 0 = ok
        getxattr f user.big 4000
        rmxattr f user.x = ok
        rmxattr f user.x = ENODATA
        listxattr f 1000
        setxattr f bad.name v 0 = EOPNOTSUPP
        as 1000 setxattr f user.z v 0 = EACCES
        listxattr . 100",
    files_without_names: "
        open a . rw|tmp 0640 = ok
        write a data
        fstat a
        linkfd a named = ok
        stat named
        read named
        write a more
        read named
        open b . rw|tmp|excl 0600 = ok
        linkfd b never = ENOENT
        open c no rw|tmp 0600 = ENOENT
        open c . r|tmp 0600 = EINVAL
        as 1000 open d . w|tmp 0600 = ok
        fstat d
        unlink named
        fstat a",
    holes: "
        open a f rw|creat 0644
        fallocate a 0 0 65536 = ok
        fstat a
        pwrite a 0 x*262144
        fallocate a 3 65536 65536 = ok
        pread a 65530 20
        seek a 0 hole = 65536
        seek a 65536 data = 131072
        seek a 0 data = 0
        seek a 300000 data = ENXIO
        fallocate a 1 262144 65536
        fstat a
        fallocate a 16 0 4096 = ok
        pread a 4090 20
        ftruncate a 1048576
        seek a 524288 data
        seek a 262143 hole
        fallocate a 0 0 0 = EINVAL
        fallocate a 0 -1 10 = EINVAL
        open b f r
        fallocate b 0 0 10 = EBADF",
    copies_within: "
        open a f rw|creat 0644
        open b g rw|creat 0644
        write a abc*100000
        copy a 0 b 0 300000 = 300000
        read g
        copy a 299998 b 10 100 = 2
        copy a 400000 b 0 10 = 0
        copy b 0 b 300000 1000
        fstat b
        copy a 0 a 100 1000 = EINVAL
        open c g r
        copy a 0 c 0 10 = EBADF
        pread b 0 20",
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
