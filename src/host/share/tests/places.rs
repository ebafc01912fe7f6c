//! Where things are: mounts of the host below the shared directory, the share below an overlay, changes by the host.

use super::kernel::{mounted, mounted_by};
use super::script::Script;
use super::*;
use crate::sys::mount;
use std::collections::HashSet;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};

fn fill(dir: &Path) {
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir_all(dir.join("a/b/c")).unwrap();
    fs::write(dir.join("a/f"), b"lower").unwrap();
    fs::write(dir.join("a/b/c/g"), vec![b'g'; 100_000]).unwrap();
    fs::hard_link(dir.join("a/f"), dir.join("a/h")).unwrap();
    symlink("f", dir.join("a/l")).unwrap();
}

#[test]
fn it_is_a_lower_layer_of_an_overlay() {
    for settings in [RO, Settings { cache: Cache::Always, ..RO }] {
        mounted(settings, fill, |m| {
            let scratch = tempfile::tempdir().unwrap();
            let at = |name: &str| scratch.path().join(name);
            mount::mount("tmpfs", Path::new("none"), scratch.path(), 0, "").unwrap();
            ["upper", "work", "merged"].iter().for_each(|name| fs::create_dir(at(name)).unwrap());
            let data = format!(
                "lowerdir={},upperdir={},workdir={}",
                m.path().display(),
                at("upper").display(),
                at("work").display()
            );
            mount::mount("overlay", Path::new("none"), &at("merged"), 0, &data).unwrap();
            let before = super::script::picture(m.plain());
            let root = at("merged");
            assert_eq!(fs::read(root.join("a/l")).unwrap(), b"lower");

            fs::write(root.join("a/f"), b"changed").unwrap();
            assert_eq!(fs::read(root.join("a/f")).unwrap(), b"changed");
            fs::write(root.join("a/b/new"), b"new").unwrap();
            fs::remove_file(root.join("a/b/c/g")).unwrap();
            fs::remove_dir(root.join("a/b/c")).unwrap();
            fs::create_dir(root.join("a/b/c")).unwrap();
            fs::rename(root.join("a/h"), root.join("h")).unwrap();
            fs::set_permissions(root.join("a"), fs::Permissions::from_mode(0o700)).unwrap();
            let mut script = Script::new(&root);
            assert_eq!(fs::read_dir(root.join("a/b/c")).unwrap().count(), 0);
            assert_eq!(script.line("setxattr a/b user.x y 0"), "ok");
            assert_eq!(script.line("listxattr a/b 100"), "7 \"user.x\\0\"");
            assert_eq!(fs::metadata(root.join("h")).unwrap().len(), 5);
            assert_eq!(super::script::picture(m.plain()), before);
            mount::unmount(&root).unwrap();
            mount::unmount(scratch.path()).unwrap();
        });
    }
}

#[test]
fn mounts_of_the_host_are_crossed_and_inode_numbers_do_not_collide() {
    let prepare = |dir: &Path| {
        fill(dir);
        ["m1", "m2", "again", "proc"].iter().for_each(|name| fs::create_dir(dir.join(name)).unwrap());
        if mount::unshare_mounts().is_err() {
            return; // The test is skipped.
        }
        for name in ["m1", "m2"] {
            mount::mount("tmpfs", Path::new("none"), &dir.join(name), 0, "").unwrap();
            fs::create_dir(dir.join(name).join("d")).unwrap();
            fs::write(dir.join(name).join("d/f"), name).unwrap();
        }
        mount::mount("", dir, &dir.join("again"), libc::MS_BIND, "").unwrap();
        mount::mount("proc", Path::new("none"), &dir.join("proc"), 0, "").unwrap();
    };
    std::thread::scope(|scope| {
        let test = || {
            mounted(RW, prepare, |m| {
                let at = |name: &str| m.path().join(name);
                assert_eq!(fs::read(at("m1/d/f")).unwrap(), b"m1");
                assert_eq!(fs::read(at("m2/d/f")).unwrap(), b"m2");
                let files = ["a/f", "m1/d", "m1/d/f", "m2/d", "m2/d/f", "m1", "m2", "a", "."];
                let numbers: HashSet<u64> = files.iter().map(|f| fs::metadata(at(f)).unwrap().ino()).collect();
                assert_eq!(numbers.len(), files.len());
                let devices: HashSet<u64> = files.iter().map(|f| fs::metadata(at(f)).unwrap().dev()).collect();
                assert_eq!(devices.len(), 1);
                // The directory itself, once more below itself.
                assert_eq!(fs::read(at("again/a/f")).unwrap(), b"lower");
                assert!(fs::metadata(at("again/a/b/c")).unwrap().is_dir());
                assert_eq!(fs::read_dir(at("again/again")).unwrap().count(), 0);
                // Across mounts as on the host.
                let mut script = Script::new(m.path());
                assert_eq!(script.line("rename m1/d/f a/moved"), format!("\"errno {}\"", libc::EXDEV));
                assert_eq!(script.line("link m1/d/f a/linked"), format!("\"errno {}\"", libc::EXDEV));
                // Processes of the host are not for the guest.
                assert!(fs::read_dir(at("proc/self")).is_err() || fs::read(at("proc/self/environ")).is_err());
                assert_eq!(fs::read(at("proc/version")).unwrap_err().raw_os_error(), Some(libc::EACCES));
            })
        };
        scope.spawn(test).join().unwrap();
    });
}

#[test]
fn what_the_host_changes_is_seen() {
    for cache in [Cache::Never, Cache::Auto] {
        mounted(Settings { cache, ..RW }, fill, |m| {
            let (here, there) = (m.path(), m.plain());
            let later = || std::thread::sleep(Cache::Auto.period() + Duration::from_millis(100));
            // Without a stat(2), which would find out by itself.
            let read = || {
                let mut bytes = [0; 5];
                fs::File::open(here.join("a/f")).unwrap().read_exact_at(&mut bytes, 0).unwrap();
                bytes
            };
            assert_eq!((&read(), &read()), (b"lower", b"lower"));
            fs::write(there.join("a/f"), b"UPPER").unwrap();
            assert_eq!(&read(), b"UPPER", "an opening sees what was written before it");
            fs::rename(there.join("a"), there.join("z")).unwrap();
            later();
            assert!(fs::metadata(here.join("a/f")).is_err());
            assert_eq!(fs::read(here.join("z/l")).unwrap(), b"UPPER");
            // Another file of the same name, and perhaps of the same number.
            fs::remove_file(there.join("z/f")).unwrap();
            fs::write(there.join("z/f"), b"another one").unwrap();
            later();
            assert_eq!(fs::read(here.join("z/f")).unwrap(), b"another one");
            let open = fs::File::open(here.join("z/b/c/g")).unwrap();
            fs::remove_dir_all(there.join("z/b")).unwrap();
            later();
            assert_eq!(open.metadata().unwrap().len(), 100_000, "an open file stays");
            assert!(fs::metadata(here.join("z/b")).is_err());
        });
    }
}

#[test]
fn an_ordinary_user_serves_what_is_its_own() {
    let prepare = |dir: &Path| {
        fill(dir);
        fs::write(dir.join("roots"), b"secret").unwrap();
        fs::set_permissions(dir.join("roots"), fs::Permissions::from_mode(0o600)).unwrap();
        // Without the right to, the test is skipped.
        let _ = std::os::unix::fs::chown(dir, Some(1000), Some(1000));
    };
    mounted_by(Some(1000), RW, prepare, |m| {
        let mut script = Script::new(m.path());
        let denied = |n: i32| format!("\"errno {n}\"");
        assert_eq!(script.line("open a new rw|creat 0640"), "ok");
        assert_eq!(script.line("write a data"), "4");
        assert_eq!(script.line("mkdir d 0755"), "ok");
        assert_eq!(script.line("symlink x s"), "ok");
        assert_eq!(script.line("link new hard"), "ok");
        assert_eq!(script.line("rename new renamed"), "ok");
        assert_eq!(script.line("setxattr hard user.x y 0"), "ok");
        assert_eq!(script.line("chmod d 0700"), "ok");
        assert_eq!(script.line("stat hard"), "100640 links=2 1000:1000 size=4 rdev=0");
        assert_eq!(script.line("open b r rw|creat 0000"), "ok");
        assert_eq!(script.line("write b x"), "1");
        assert_eq!(script.line("chown d 5 5"), denied(libc::EPERM));
        assert_eq!(script.line("read roots"), denied(libc::EACCES));
        assert_eq!(script.line("open c a/x rw|creat 0644"), denied(libc::EACCES));
        assert_eq!(script.line("mknod dev 0020600 259"), denied(libc::EPERM));
        assert_eq!(script.line("getxattr d trusted.overlay.opaque 10"), denied(libc::ENODATA));
        assert_eq!(script.line("open t . rw|tmp 0600"), "ok");
        assert_eq!(script.line("linkfd t kept"), "ok");
        assert_eq!(script.line("stat kept"), "100600 links=1 1000:1000 size=0 rdev=0");
        assert_eq!(script.line("read a/f"), "\"lowe\"+1x'r'");
    });
}

#[test]
fn ten_thousand_names_are_listed_while_they_go() {
    let fill = |dir: &Path| (0..10_000).for_each(|i| fs::write(dir.join(format!("name-{i}")), b"").unwrap());
    mounted(RW, fill, |m| {
        let mut seen = HashSet::new();
        for (i, entry) in fs::read_dir(m.path()).unwrap().enumerate() {
            let path = entry.unwrap().path();
            assert!(seen.insert(path.clone()), "{} twice", path.display());
            if i % 2 == 0 {
                fs::remove_file(&path).unwrap();
            }
        }
        assert_eq!(
            seen.len(),
            10_000,
            "each that was there all the time, and here also each that went when it was seen"
        );
        assert_eq!(fs::read_dir(m.plain()).unwrap().count(), 5_000);
        fs::read_dir(m.path()).unwrap().for_each(|e| fs::remove_file(e.unwrap().path()).unwrap());
        assert_eq!(fs::read_dir(m.plain()).unwrap().count(), 0);
    });
}

#[test]
fn mappings_are_shared_with_the_host() {
    use vm_memory::{Bytes, FileOffset, VolatileMemory, mmap::MmapRegion};
    let map = |file: &fs::File, flags: i32| {
        let offset = FileOffset::new(file.try_clone().unwrap(), 0);
        MmapRegion::<()>::build(Some(offset), 8192, libc::PROT_READ | libc::PROT_WRITE, flags)
    };
    for cache in [Cache::Auto, Cache::Always] {
        mounted(
            Settings { cache, ..RW },
            |dir| fs::write(dir.join("f"), vec![b'.'; 8192]).unwrap(),
            |m| {
                let file = fs::File::options().read(true).write(true).open(m.path().join("f")).unwrap();
                let (shared, private) = (map(&file, libc::MAP_SHARED).unwrap(), map(&file, libc::MAP_PRIVATE).unwrap());
                private.get_slice(0, 8192).unwrap().write_slice(b"private", 100).unwrap();
                shared.get_slice(0, 8192).unwrap().write_slice(b"shared", 5000).unwrap();
                file.sync_all().unwrap();
                let there = fs::read(m.plain().join("f")).unwrap();
                assert_eq!(&there[5000..5006], b"shared");
                assert_eq!(&there[100..107], b".......");
            },
        );
    }
}
