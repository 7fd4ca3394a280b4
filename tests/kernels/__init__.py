"""The mirror on Debian's kernels, booted under QEMU over this very file system (`make kernels`)."""
