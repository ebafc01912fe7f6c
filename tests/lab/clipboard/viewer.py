"""A VNC viewer that shares its clipboard and looks at nothing: viewer.py ADDRESS PORT. Whenever the guest's text comes it says so and copies its own.
It ends with the connection, well when the guest's text has come."""

import socket, struct, sys, time

WANTED = "aus dem Gast: Grüße\nzwei Zeilen"
OWN = "vom Betrachter: Äpfel\nzwei Zeilen"


def connected():
    while True:
        try:
            return socket.create_connection((sys.argv[1], int(sys.argv[2])))
        except OSError:
            time.sleep(0.5)


def take(n):
    data = b""
    while len(data) < n:
        more = viewer.recv(n - len(data))
        if not more:
            sys.exit(0 if came else "the viewer was told no text of the guest")
        data += more
    return data


came = False
viewer = connected()
# RFB 7.1: version, no security, shared.
take(12), viewer.sendall(b"RFB 003.008\n")
take(take(1)[0]), viewer.sendall(b"\1")
take(4), viewer.sendall(b"\1")
take(20), take(struct.unpack(">I", take(4))[0])
while True:
    kind = take(1)[0]
    if kind != 3:
        sys.exit(f"the viewer asked for nothing and is told {kind}")
    text = take(struct.unpack(">3xI", take(7))[0]).decode("latin-1")
    print(f"the viewer has {text!r}", flush=True)
    if text == WANTED:
        came = True
        own = OWN.encode("latin-1")
        viewer.sendall(struct.pack(">B3xI", 6, len(own)) + own)
