"""A network of their own for processes that talk among themselves: a loopback that no other process of the machine reaches.

The ranks of a training connect by gloo, whose listeners ask nobody who comes: on the machine's loopback any user could send
them gradients. Linux gives every user a new network, root directly and others inside a user namespace, unless the machine's
rules forbid it.
"""

import ctypes
import os
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fcntl import ioctl
from pathlib import Path
from socket import socket

NEW_USER, NEW_NETWORK = 0x10000000, 0x40000000
"""CLONE_NEWUSER and CLONE_NEWNET of sched.h."""
GET_FLAGS, SET_FLAGS, UP = 0x8913, 0x8914, 1
"""SIOCGIFFLAGS, SIOCSIFFLAGS and IFF_UP of Linux."""


@contextmanager
def own_network() -> Iterator[Callable[[], None]]:
    """Yields what a new child runs before its program to join one new network; it does nothing where there can be none."""
    maker = subprocess.Popen(
        [sys.executable, "-I", "-S", __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert maker.stdin
    assert maker.stdout
    kinds = maker.stdout.readline().split()
    handles = [os.open(f"/proc/{maker.pid}/ns/{kind.decode()}", os.O_RDONLY | os.O_CLOEXEC) for kind in kinds]
    maker.communicate()  # the handles keep the network alive
    setns = ctypes.CDLL(None, use_errno=True).setns

    def join() -> None:
        for handle in handles:
            if setns(handle, 0):
                raise OSError(ctypes.get_errno(), "a rank could not join the network of the others")

    try:
        yield join
    finally:
        for handle in handles:
            os.close(handle)


def make() -> str:
    """Moves this process into a new network; the kinds of namespace that are new, in the order to join them."""
    unshare = ctypes.CDLL(None).unshare
    user, group = os.getuid(), os.getgid()
    kinds = "net"
    if unshare(NEW_NETWORK):
        if unshare(NEW_USER | NEW_NETWORK):
            return ""
        for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
            Path("/proc/self", name).write_bytes(text.encode())
        kinds = "user net"
    with socket() as any_socket:
        request = struct.pack("16sh", b"lo", 0)
        flags = struct.unpack("16sh", ioctl(any_socket, GET_FLAGS, request))[1]
        ioctl(any_socket, SET_FLAGS, struct.pack("16sh", b"lo", flags | UP))
    return kinds


if __name__ == "__main__":
    try:
        made = make()
    except OSError:  # a rule of the machine that shows only now
        made = ""
    sys.stdout.write(f"{made}\n")
    sys.stdout.flush()
    sys.stdin.read()
