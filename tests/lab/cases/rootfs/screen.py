"""Pictures as a frame buffer has them (four bytes a pixel: blue, green, red, and one that is not seen), and as PNG files have them:

    screen.py png WIDTH RAW PNG     writes that picture as a PNG
    screen.py off WIDTH RAW PNG     the same with one bit of its last pixel changed
    screen.py same WIDTH RAW PNG    fails unless the PNG (8 bits, RGB, not interlaced) shows exactly that picture
"""

import struct, sys, zlib


def rows_of(raw, width):
    """Each row as red, green, blue."""
    for at in range(0, len(raw), width * 4):
        row = raw[at : at + width * 4]
        rgb = bytearray(width * 3)
        rgb[0::3], rgb[1::3], rgb[2::3] = row[2::4], row[1::4], row[0::4]
        yield rgb


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(rows, width):
    # Filter 0 before each row: it stands there as it is.
    pixels = b"".join(b"\0" + row for row in rows)
    header = struct.pack(">IIBBBBB", width, len(pixels) // (width * 3 + 1), 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(pixels, 1)) + chunk(b"IEND", b"")


def paeth(left, above, corner):
    estimate = left + above - corner
    return min((left, above, corner), key=lambda value: abs(estimate - value))


def unfiltered(kind, row, above):
    """PNG (third edition), 9.2."""
    out = bytearray(len(row))
    for i, value in enumerate(row):
        left, corner = (out[i - 3], above[i - 3]) if i >= 3 else (0, 0)
        match kind:
            case 0: guess = 0
            case 1: guess = left
            case 2: guess = above[i]
            case 3: guess = (left + above[i]) // 2
            case 4: guess = paeth(left, above[i], corner)
        out[i] = (value + guess) & 255
    return out


def decoded(file):
    """The width and the rows of a PNG."""
    assert file[:8] == b"\x89PNG\r\n\x1a\n", "not a PNG"
    at, packed = 8, b""
    while at < len(file):
        length, name = struct.unpack_from(">I4s", file, at)
        data = file[at + 8 : at + 8 + length]
        assert file[at : at + length + 12] == chunk(name, data), f"the {name} has another checksum"
        at += length + 12
        if name == b"IHDR":
            width, height, *kind = struct.unpack(">IIBBBBB", data)
            assert kind == [8, 2, 0, 0, 0], f"not 8 bits of RGB: {kind}"
        if name == b"IDAT":
            packed += data
    pixels, step, rows = zlib.decompress(packed), width * 3 + 1, []
    assert len(pixels) == step * height, "not as many pixels as it says"
    above = bytearray(step - 1)
    for at in range(0, len(pixels), step):
        above = unfiltered(pixels[at], pixels[at + 1 : at + step], above)
        rows.append(above)
    return width, rows


what, width, raw, path = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
with open(raw, "rb") as file:
    want = list(rows_of(file.read(), width))
if what == "off":
    want[-1][-1] ^= 1
if what in ("png", "off"):
    with open(path, "wb") as file:
        file.write(png(want, width))
else:
    with open(path, "rb") as file:
        size, rows = decoded(file.read())
    if (size, len(rows)) != (width, len(want)):
        sys.exit(f"{path}: {size}x{len(rows)} instead of {width}x{len(want)}")
    for y, (row, line) in enumerate(zip(rows, want)):
        if row != line:
            x = next(i for i in range(len(row)) if row[i] != line[i]) // 3
            sys.exit(f"{path}: at ({x}, {y}) it is {row[x * 3 : x * 3 + 3].hex()} instead of {line[x * 3 : x * 3 + 3].hex()}")
