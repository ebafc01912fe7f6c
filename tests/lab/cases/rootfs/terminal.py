"""Runs a command of `kiln exec` on a terminal of its own: terminal.py KILN EXEC... . The guest's shell must see the terminal's change of
size and its interrupt character."""
import fcntl, os, pty, re, struct, sys, termios, time

GUEST = 'trap "stty size; echo resized" WINCH; trap "echo interrupted; exit 9" INT; stty size; echo ready; while :; do sleep 1; done'


def size(fd, rows, columns):
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


pid, fd = pty.fork()
if pid == 0:
    size(0, 24, 80)
    os.execvp(sys.argv[1], sys.argv[1:] + ["--", "sh", "-c", GUEST])

seen = b""


def until(pattern):
    global seen
    while not re.search(pattern, seen):
        try:
            piece = os.read(fd, 4096)
        except OSError:
            piece = b""
        if not piece:
            sys.exit(f"{pattern!r} did not appear; this did: {seen!r}")
        seen += piece
    seen = seen[re.search(pattern, seen).end():]


until(rb"24 80\r\n")
until(rb"ready\r\n")
size(fd, 40, 90)
until(rb"40 90\r\nresized\r\n")
os.write(fd, b"\x03")
until(rb"interrupted\r\n")
status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
if status != 9:
    sys.exit(f"exit status {status} instead of 9")
