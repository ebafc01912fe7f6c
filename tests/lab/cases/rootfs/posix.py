"""What a POSIX file system does, one line for each thing tried: posix.py DIRECTORY, which is empty. The lines hold nothing that differs
between two file systems that behave alike (no inode numbers, times only where they were set, no sizes of directories), so the output on
one can be compared with that on another."""

import ctypes, errno, fcntl, itertools, mmap, os, stat, struct, sys

base = os.path.abspath(sys.argv[1])
os.chdir(base)
os.umask(0o022)
root = os.geteuid() == 0
libc = ctypes.CDLL(None, use_errno=True)


def said(value):
    if isinstance(value, bytes):
        return value.hex() if len(value) <= 16 else f"{len(value)} bytes, sum {sum(value)}"
    return str(value)


def t(name, call, *args, **kwargs):
    """Prints the result of a call, or its error."""
    try:
        result = call(*args, **kwargs)
        print(f"{name}: {said(result)}")
        return result
    except OSError as e:
        print(f"{name}: {errno.errorcode.get(e.errno, e.errno)}")


def attributes(path, follow=True):
    s = os.stat(path, follow_symlinks=follow)
    size = "-" if stat.S_ISDIR(s.st_mode) else s.st_size
    return f"{stat.filemode(s.st_mode)} links {'-' if stat.S_ISDIR(s.st_mode) else s.st_nlink} {s.st_uid}:{s.st_gid} size {size}"


def put(path, data=b"", flags=0, mode=0o644):
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | flags, mode)
    try:
        os.write(fd, data)
    finally:
        os.close(fd)


def get(path):
    fd = os.open(path, os.O_RDONLY)
    try:
        return b"".join(iter(lambda: os.read(fd, 65536), b""))
    finally:
        os.close(fd)


def name_it(fd, name):
    """Gives an open file a name; os.link() does not follow /proc's links."""
    if libc.linkat(-100, f"/proc/self/fd/{fd}".encode(), -100, name.encode(), 0x400):
        raise OSError(ctypes.get_errno(), "")


def fresh(name):
    """A directory of its own for each group of lines."""
    print(f"-- {name}")
    os.chdir(base)
    os.mkdir(name)
    os.chdir(name)


def opening():
    fresh("opening")
    for flags, mode in itertools.product((0, os.O_EXCL, os.O_TRUNC, os.O_APPEND, os.O_EXCL | os.O_TRUNC), (0o644, 0o600, 0o7777, 0)):
        for again in (1, 2):
            t(f"open O_CREAT|{flags:o} {mode:o} ({again})", put, f"f{flags}.{mode}", b"abc", flags, mode)
        t("  is", attributes, f"f{flags}.{mode}")
    put("f", b"content")
    t("O_DIRECTORY of a file", os.open, "f", os.O_DIRECTORY)
    t("O_WRONLY of a directory", os.open, ".", os.O_WRONLY)
    t("O_CREAT of a directory", os.open, ".", os.O_RDWR | os.O_CREAT)
    os.symlink("f", "link")
    t("O_NOFOLLOW of a link", os.open, "link", os.O_NOFOLLOW)
    t("O_EXCL of a link", put, "link", b"", os.O_EXCL)
    os.symlink("target", "dangling")
    t("O_CREAT through a dangling link", put, "dangling", b"made")
    t("  is", get, "target")
    t("a name with a slash behind", os.open, "f/", os.O_RDONLY)
    t("a file as a directory", os.open, "f/x", os.O_RDONLY)
    t("no such directory", os.open, "none/x", os.O_RDWR | os.O_CREAT)
    t("a name of 255 bytes", put, "n" * 255)
    t("a name of 256 bytes", put, "n" * 256)
    t("bytes that are no text", put, b"\xff\xfe\n\t\x01")
    t("  listed", lambda: sorted(os.listdir(b"."))[-1])
    loop = [os.symlink(f"loop{(i + 1) % 3}", f"loop{i}") for i in range(3)]
    t(f"a loop of {len(loop)} links", os.open, "loop0", os.O_RDONLY)
    t("O_PATH", lambda: os.close(os.open("f", os.O_PATH)))
    for mask in (0o000, 0o077, 0o777):
        os.umask(mask)
        put(f"mask{mask:o}", b"", 0, 0o666)
        os.mkdir(f"maskd{mask:o}", 0o777)
        t(f"umask {mask:o}", attributes, f"mask{mask:o}")
        t("  directory", attributes, f"maskd{mask:o}")
    os.umask(0o022)


def content():
    fresh("content")
    fd = os.open("f", os.O_RDWR | os.O_CREAT, 0o644)
    t("write", os.write, fd, bytes(range(256)) * 1000)
    t("pread", os.pread, fd, 8, 255)
    t("pread across the end", os.pread, fd, 100, 255_990)
    t("pread behind the end", os.pread, fd, 100, 300_000)
    t("pwrite behind the end", os.pwrite, fd, b"tail", 1_000_000)
    t("the hole", os.pread, fd, 8, 500_000)
    t("is", attributes, "f")
    for where, name in ((os.SEEK_SET, "SET"), (os.SEEK_CUR, "CUR"), (os.SEEK_END, "END")):
        t(f"lseek {name} 5", os.lseek, fd, 5, where)
        t(f"lseek {name} -10000000", os.lseek, fd, -10_000_000, where)
    t("SEEK_DATA at 0", os.lseek, fd, 0, os.SEEK_DATA)
    t("SEEK_HOLE at the end", os.lseek, fd, 1_000_003, os.SEEK_HOLE)
    t("SEEK_DATA behind the end", os.lseek, fd, 1_000_004, os.SEEK_DATA)
    for size in (10, 5000, 0, 4096, 4097):
        t(f"ftruncate {size}", os.ftruncate, fd, size)
        t("  is", attributes, "f")
        t("  content", get, "f")
    t("ftruncate -1", os.ftruncate, fd, -1)
    t("readv", lambda: os.readv(fd, [bytearray(3), bytearray(5000)]))
    t("writev", os.writev, fd, [b"one", b"", b"two" * 3000])
    os.close(fd)
    t("write to O_RDONLY", lambda: os.write(os.open("f", os.O_RDONLY), b"x"))
    t("read of O_WRONLY", lambda: os.read(os.open("f", os.O_WRONLY), 1))
    t("read of a directory", lambda: os.read(os.open(".", os.O_RDONLY), 1))
    a, b = (os.open("g", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644) for _ in range(2))
    for i in range(50):
        os.write(a, b"a%d" % i)
        os.write(b, b"b%d" % i)
    t("two that append", get, "g")
    t("lseek and O_APPEND", lambda: (os.lseek(a, 0, 0), os.write(a, b"end"))[1])
    t("  ends with", lambda: get("g")[-3:])
    t("truncate by path", os.truncate, "g", 3)
    t("  content", get, "g")
    t("truncate of a directory", os.truncate, ".", 3)
    big = os.open("big", os.O_RDWR | os.O_CREAT, 0o644)
    t("beyond 4 GiB", os.pwrite, big, b"far", (5 << 30) + 1)
    t("  is", attributes, "big")
    t("  read", os.pread, big, 8, (5 << 30) - 2)
    t("fsync", os.fsync, big)
    t("fdatasync", os.fdatasync, big)
    data = os.urandom(3 << 20)
    put("random", data)
    t("3 MiB come back", lambda: get("random") == data)
    direct = os.open("random", os.O_RDONLY)
    t("in pieces of 7001", lambda: b"".join(iter(lambda: os.read(direct, 7001), b"")) == data)


def gone():
    fresh("gone")
    fd = os.open("f", os.O_RDWR | os.O_CREAT, 0o644)
    os.write(fd, b"still here")
    t("unlink of an open file", os.unlink, "f")
    t("  again", os.unlink, "f")
    t("  links", lambda: os.fstat(fd).st_nlink)
    t("  read", os.pread, fd, 100, 0)
    t("  write", os.pwrite, fd, b"and more", 10)
    t("  truncate", os.ftruncate, fd, 13)
    t("  chmod", os.fchmod, fd, 0o600)
    t("  size", lambda: os.fstat(fd).st_size)
    t("  a new file of that name", put, "f", b"new")
    t("  the old one", os.pread, fd, 100, 0)
    os.close(fd)
    os.mkdir("d")
    put("d/f")
    t("unlink of a directory", os.unlink, "d")
    t("rmdir of a file", os.rmdir, "f")
    t("rmdir of a full one", os.rmdir, "d")
    here = os.open("d", os.O_RDONLY | os.O_DIRECTORY)
    os.unlink("d/f")
    t("rmdir of an open one", os.rmdir, "d")
    t("  listing", os.listdir, here)
    t("  a new file in it", lambda: os.open("x", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    t("rmdir of .", os.rmdir, ".")
    t("mkdir over a file", os.mkdir, "f")
    os.mkdir("e")
    t("mkdir over a directory", os.mkdir, "e")
    t("mkdir below nothing", os.mkdir, "none/d")


def made(kind, name):
    if kind == "file":
        put(name, b"content of " + name.encode())
    elif kind == "dir":
        os.mkdir(name)
    elif kind == "full":
        os.mkdir(name)
        put(name + "/inside")
    elif kind == "link":
        os.symlink("somewhere", name)
    elif kind == "fifo":
        os.mkfifo(name)


def what(name):
    try:
        mode = os.lstat(name).st_mode
    except FileNotFoundError:
        return "none"
    return stat.filemode(mode)[0] + (str(len(os.listdir(name))) if stat.S_ISDIR(mode) else "")


def renames():
    fresh("renames")
    kinds = ("none", "file", "dir", "full", "link", "fifo")
    for flags, word in ((0, "rename"), (1, "RENAME_NOREPLACE"), (2, "RENAME_EXCHANGE")):
        for a, b in itertools.product(kinds, kinds):
            name = f"{word}.{a}.{b}"
            made(a, name + ".a")
            made(b, name + ".b")
            if flags == 0:
                t(f"{word} {a} over {b}", os.rename, name + ".a", name + ".b")
            else:
                def call():
                    if libc.renameat2(-100, (name + ".a").encode(), -100, (name + ".b").encode(), flags):
                        raise OSError(ctypes.get_errno(), "")
                t(f"{word} {a} and {b}", call)
            print(f"  now {what(name + '.a')} {what(name + '.b')}")
    os.makedirs("p/q/r")
    t("into itself", os.rename, "p", "p/q/s")
    t("over its parent", os.rename, "p/q/r", "p")
    put("x", b"x")
    os.link("x", "y")
    t("over another name of the same file", os.rename, "x", "y")
    print(f"  now {what('x')} {what('y')}")
    t("to itself", os.rename, "y", "y")
    t("of .", os.rename, ".", "z")
    fd = os.open("y", os.O_RDONLY)
    t("across directories", os.rename, "y", "p/q/y")
    t("  the open one", os.read, fd, 10)
    t("a directory across directories", os.rename, "p/q", "q")
    t("  its file", get, "q/y")
    t("  its parent", lambda: os.stat("q/..").st_ino == os.stat(".").st_ino)


def links():
    fresh("links")
    put("f", b"content")
    t("link", os.link, "f", "g")
    t("  is", attributes, "g")
    t("  the same file", lambda: os.stat("f").st_ino == os.stat("g").st_ino)
    t("  over it", os.link, "f", "g")
    t("  of a directory", os.link, ".", "h")
    t("  of nothing", os.link, "none", "h")
    put("g", b"changed")
    t("  content of the other", get, "f")
    os.unlink("f")
    t("  when one is gone", attributes, "g")
    for i in range(100):
        os.link("g", f"l{i}")
    t("  101 of them", attributes, "l99")
    for target in ("g", "none", "/", "x" * 1000, "x" * 4095, "../..", "a\nb"):
        name = "s" + str(len(os.listdir(".")))
        t(f"symlink to {len(target)} bytes", os.symlink, target, name)
        t("  reads", lambda: os.readlink(name) == target)
        t("  is", attributes, name, False)
    t("symlink to 5000 bytes", os.symlink, "x" * 5000, "long")
    t("symlink to nothing", os.symlink, "", "empty")
    t("symlink over a file", os.symlink, "x", "g")
    t("readlink of a file", os.readlink, "g")
    os.symlink("g", "to-g")
    t("link of a symlink", os.link, "to-g", "hard-symlink", follow_symlinks=False)
    t("  is", attributes, "hard-symlink", False)
    t("  through /proc", lambda: name_it(os.open("g", os.O_RDONLY), "through"))
    t("chmod of a symlink", os.chmod, "to-g", 0o600)
    t("  its target", attributes, "g")
    t("chown of a symlink", os.chown, "to-g", os.getuid(), os.getgid(), follow_symlinks=False)
    t("utime of a symlink", lambda: (os.utime("to-g", ns=(5, 7), follow_symlinks=False), os.lstat("to-g").st_mtime_ns)[1])


def modes():
    fresh("modes")
    put("f")
    os.mkdir("d")
    for mode in (0o000, 0o444, 0o755, 0o1777, 0o2755, 0o4755, 0o6711, 0o7777):
        for name in ("f", "d"):
            t(f"chmod {mode:o} {name}", os.chmod, name, mode)
            t("  is", attributes, name)
    os.chmod("d", 0o755)
    # Not -1:-1, which takes the bits away on a disk: Linux's FUSE asks nothing of the server for it.
    for uid, gid in ((0, 0), (1234, 5678), (-1, 42), (42, -1), (os.getuid(), os.getgid())):
        os.chmod("f", 0o6755) if root or os.stat("f").st_uid == os.getuid() else None
        t(f"chown {uid}:{gid}", os.chown, "f", uid, gid)
        t("  is", attributes, "f")
    os.chown("f", os.getuid(), os.getgid())
    os.chmod("f", 0o4755)
    t("a write to a set-user-ID file", put, "f", b"x")
    t("  is", lambda: root or attributes("f"))
    os.chmod("d", 0o2775)
    os.mkdir("d/inherits")
    t("set-group-ID is inherited", attributes, "d/inherits")
    os.chmod("f", 0o000)
    t("open without permission", lambda: os.close(os.open("f", os.O_RDWR)))
    os.chmod("d", 0o000)
    t("below a closed directory", os.stat, "d/none")
    os.chmod("d", 0o755)
    for mode in (os.F_OK, os.R_OK, os.W_OK, os.X_OK):
        t(f"access {mode}", os.access, "f", mode)
    for atime, mtime in ((0, 0), (1, 2), (10**18 + 1, 10**18 + 999), (2**32 * 10**9, 3), (-10**9, -5 * 10**9)):
        def times():
            os.utime("f", ns=(atime, mtime))
            s = os.stat("f")
            return s.st_atime_ns, s.st_mtime_ns
        os.chmod("f", 0o644)
        t(f"utime {atime} {mtime}", times)
    before = os.stat("f").st_mtime_ns
    put("f", b"new")
    t("a write sets the time", lambda: os.stat("f").st_mtime_ns > before)
    before = os.stat("f").st_ctime_ns
    os.chmod("f", 0o640)
    t("chmod sets the time of change", lambda: os.stat("f").st_ctime_ns >= before)
    before = os.stat("d").st_mtime_ns
    os.utime("d", ns=(0, 0))
    put("d/x")
    t("a new file sets its directory's", lambda: os.stat("d").st_mtime_ns > before)
    for kind, name in ((stat.S_IFIFO, "fifo"), (stat.S_IFSOCK, "socket"), (stat.S_IFREG, "regular"), (stat.S_IFCHR, "char"), (stat.S_IFBLK, "block")):
        t(f"mknod {name}", os.mknod, name, kind | 0o640, os.makedev(1, 3))
        t("  is", lambda: attributes(name))


def extended():
    fresh("extended")
    put("f")
    os.mkdir("d")
    os.symlink("f", "l")
    for name in ("f", "d"):
        t(f"setxattr {name}", os.setxattr, name, "user.one", b"value")
        t("  again, XATTR_CREATE", os.setxattr, name, "user.one", b"other", os.XATTR_CREATE)
        t("  again, XATTR_REPLACE", os.setxattr, name, "user.one", b"other", os.XATTR_REPLACE)
        t("  new, XATTR_REPLACE", os.setxattr, name, "user.two", b"x", os.XATTR_REPLACE)
        t("  empty", os.setxattr, name, "user.empty", b"")
        t("  1000 bytes", os.setxattr, name, "user.long", b"v" * 1000)
        t("  listxattr", lambda: sorted(n for n in os.listxattr(name) if n.startswith("user.")))
        t("  getxattr", os.getxattr, name, "user.one")
        t("  getxattr of 1000", os.getxattr, name, "user.long")
        t("  none", os.getxattr, name, "user.none")
        t("  removexattr", os.removexattr, name, "user.one")
        t("  removexattr again", os.removexattr, name, "user.one")
        t("  no namespace", os.setxattr, name, "none.x", b"x")
        t("  name of 300 bytes", os.setxattr, name, "user." + "n" * 300, b"x")
        t("  70000 bytes", os.setxattr, name, "user.huge", b"x" * 70000)
    t("of a link", os.setxattr, "l", "user.x", b"x", follow_symlinks=False)
    t("through a link", os.setxattr, "l", "user.x", b"x")
    t("  on its target", os.getxattr, "f", "user.x")


def spaces():
    fresh("spaces")
    fd = os.open("f", os.O_RDWR | os.O_CREAT, 0o644)
    t("posix_fallocate", os.posix_fallocate, fd, 0, 100_000)
    t("  is", attributes, "f")
    t("  blocks", lambda: os.fstat(fd).st_blocks >= 195)

    def fallocate(mode, offset, size):
        if libc.fallocate(fd, mode, ctypes.c_long(offset), ctypes.c_long(size)):
            raise OSError(ctypes.get_errno(), "")

    os.pwrite(fd, b"x" * 100_000, 0)
    for mode, name in ((1, "KEEP_SIZE"), (3, "PUNCH_HOLE"), (0x10, "ZERO_RANGE")):
        t(f"fallocate {name}", fallocate, mode, 8192, 200_000 if mode == 1 else 8192)
        t("  content", get, "f")
    t("fallocate of nothing", fallocate, 0, 0, 0)
    t("fallocate below 0", fallocate, 0, -1, 10)
    out = os.open("copy", os.O_RDWR | os.O_CREAT, 0o644)
    t("copy_file_range", os.copy_file_range, fd, out, 50_000, 0, 7)
    t("  content", lambda: get("copy") == bytes(7) + get("f")[:50_000])
    t("  behind the end", os.copy_file_range, fd, out, 10, 10_000_000, 0)
    t("sendfile", os.sendfile, out, fd, 0, 1000)
    v = os.statvfs(".")
    t("statvfs", lambda: (v.f_namemax, v.f_bfree > 0, v.f_blocks >= v.f_bfree))
    t("O_TMPFILE", tmpfile)
    t("O_TMPFILE|O_EXCL", tmpfile, os.O_EXCL)
    t("O_TMPFILE, O_RDONLY", lambda: os.open(".", os.O_TMPFILE | os.O_RDONLY))
    t("listing", lambda: sorted(os.listdir(".")))


def tmpfile(flags=0):
    fd = os.open(".", os.O_TMPFILE | os.O_RDWR | flags, 0o640)
    os.write(fd, b"nameless")
    name = f"named{flags}"
    links = os.fstat(fd).st_nlink
    try:
        name_it(fd, name)
    except OSError as e:
        return links, errno.errorcode[e.errno]
    return links, attributes(name), get(name)


def mapped():
    fresh("mapped")
    fd = os.open("f", os.O_RDWR | os.O_CREAT, 0o644)
    os.ftruncate(fd, 20_000)
    shared = mmap.mmap(fd, 20_000)
    shared[5000:5006] = b"shared"
    shared.flush()
    t("a write through a mapping", os.pread, fd, 6, 5000)
    os.pwrite(fd, b"through", 9000)
    t("a write under a mapping", lambda: shared[9000:9007])
    again = mmap.mmap(os.open("f", os.O_RDWR), 20_000)
    shared[100:104] = b"seen"
    t("another mapping", lambda: again[100:104])
    private = mmap.mmap(fd, 20_000, mmap.MAP_PRIVATE)
    private[0:7] = b"private"
    t("a private mapping", os.pread, fd, 7, 0)
    shared.close()
    again.close()
    t("after close", lambda: get("f")[5000:5006])
    reader = os.open("f", os.O_RDONLY)
    t("a writable mapping of O_RDONLY", lambda: bool(mmap.mmap(reader, 4096, mmap.MAP_SHARED, mmap.PROT_WRITE)))
    put("program", b"#!/bin/sh\nexit 33\n", 0, 0o755)
    t("a script", lambda: os.waitstatus_to_exitcode(os.spawnv(os.P_WAIT, "program", ["program"]) << 8))
    true = get("/bin/true")
    put("binary", true, 0, 0o755)
    t("a program", lambda: os.spawnv(os.P_WAIT, "binary", ["binary"]))


def lock_of(other, kind, start, length):
    """What fcntl(F_GETLK) says, from another process."""
    r, w = os.pipe()
    pid = os.fork()
    if pid == 0:
        fd = os.open(other, os.O_RDWR)
        try:
            fcntl.lockf(fd, kind | fcntl.LOCK_NB, length, start)
            os.write(w, b"granted")
        except OSError as e:
            os.write(w, errno.errorcode[e.errno].encode())
        os._exit(0)
    os.waitpid(pid, 0)
    os.close(w)
    return os.read(r, 100).decode()


def flock_of(other, kind):
    fd = os.open(other, os.O_RDWR)
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
        return "granted"
    finally:
        os.close(fd)


def locks():
    fresh("locks")
    fd = os.open("f", os.O_RDWR | os.O_CREAT, 0o644)
    for kind, name in ((fcntl.LOCK_SH, "shared"), (fcntl.LOCK_EX, "exclusive")):
        t(f"lockf {name} 10-19", fcntl.lockf, fd, kind, 10, 10)
        for other, word in ((fcntl.LOCK_SH, "shared"), (fcntl.LOCK_EX, "exclusive")):
            t(f"  {word} 15-16 by another", lock_of, "f", other, 15, 2)
            t(f"  {word} 20- by another", lock_of, "f", other, 20, 0)
        t("  unlocked", fcntl.lockf, fd, fcntl.LOCK_UN, 5, 10)
        t("  exclusive 10-14 by another", lock_of, "f", fcntl.LOCK_EX, 10, 5)
        t("  exclusive 15-19 by another", lock_of, "f", fcntl.LOCK_EX, 15, 5)
        fcntl.lockf(fd, fcntl.LOCK_UN)
        t(f"flock {name}", fcntl.flock, fd, kind)
        for other, word in ((fcntl.LOCK_SH, "shared"), (fcntl.LOCK_EX, "exclusive")):
            t(f"  {word} through another file", flock_of, "f", other)
        fcntl.flock(fd, fcntl.LOCK_UN)
        t("  unlocked", flock_of, "f", fcntl.LOCK_EX)
    lease = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    t("F_OFD_SETLK", lambda: struct.unpack("hhqqi4x", fcntl.fcntl(fd, 37, lease))[0])
    t("  by another", lock_of, "f", fcntl.LOCK_EX, 0, 1)


def directories():
    fresh("directories")
    names = [f"{'name' * (i % 40)}-{i}" for i in range(3000)]
    for name in names:
        os.mknod(name)
    t("3000 names", lambda: sorted(os.listdir(".")) == sorted(names))
    t("their kinds", lambda: {e.is_file(follow_symlinks=False) for e in os.scandir(".")})
    seen = set()

    def remove():
        with os.scandir(".") as entries:
            for entry in entries:
                seen.add(entry.name)
                os.unlink(entry.name)
    t("removed while they are read", remove)
    t("  all were seen", lambda: seen == set(names))
    t("  none is left", os.listdir, ".")
    deep = "/".join(["d" * 50] * 30)
    t("30 levels", os.makedirs, deep)
    t("  and back", lambda: os.stat(deep + "/.." * 30).st_ino == os.stat(".").st_ino)
    os.mkdir("a")
    for name in ("b", "a/b"):
        put(name, name.encode())
    fd = os.open("a", os.O_RDONLY)
    t("relative to a directory", lambda: os.read(os.open("b", os.O_RDONLY, dir_fd=fd), 10))
    os.rename("a", "c")
    t("  renamed since", lambda: os.read(os.open("b", os.O_RDONLY, dir_fd=fd), 10))
    os.mkdir("cwd")
    os.chdir("cwd")
    os.rename("../cwd", "../moved")
    t("the working directory renamed", lambda: os.path.basename(os.getcwd()))


for group in (opening, content, gone, renames, links, modes, extended, spaces, mapped, locks, directories):
    group()
