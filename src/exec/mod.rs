//! A command in a fresh kernel, on the host's own files: which kernel, which of its modules, and the initramfs made of them.
