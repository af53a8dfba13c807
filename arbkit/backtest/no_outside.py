"""The part of an event loop that reaches out of the process, refused: virtual time has nothing to wait for out there."""

from __future__ import annotations

import asyncio
from typing import Any, NoReturn

from arbkit.core.errors import ArbkitError


class OutsideVirtualTime(ArbkitError, RuntimeError):
    """Something asked the virtual loop for a thread, a socket, a signal or a process."""


def _refusal(name: str) -> Any:
    def refuse(self: object, *args: object, **kwargs: object) -> NoReturn:  # noqa: ARG001 - any call is refused
        raise OutsideVirtualTime(
            f"loop.{name}: a virtual loop has no threads, sockets, signals or processes; "
            "pass what the code needs from outside in as a port"
        )

    refuse.__name__ = name
    return refuse


class NoOutside(asyncio.AbstractEventLoop):
    """A loop without threads, sockets, signals and processes; each call names itself and says what to do instead."""

    run_in_executor = _refusal("run_in_executor")
    set_default_executor = _refusal("set_default_executor")
    add_reader = _refusal("add_reader")
    remove_reader = _refusal("remove_reader")
    add_writer = _refusal("add_writer")
    remove_writer = _refusal("remove_writer")
    add_signal_handler = _refusal("add_signal_handler")
    remove_signal_handler = _refusal("remove_signal_handler")
    sock_recv = _refusal("sock_recv")
    sock_recv_into = _refusal("sock_recv_into")
    sock_recvfrom = _refusal("sock_recvfrom")
    sock_recvfrom_into = _refusal("sock_recvfrom_into")
    sock_sendall = _refusal("sock_sendall")
    sock_sendto = _refusal("sock_sendto")
    sock_connect = _refusal("sock_connect")
    sock_accept = _refusal("sock_accept")
    sock_sendfile = _refusal("sock_sendfile")
    sendfile = _refusal("sendfile")
    start_tls = _refusal("start_tls")
    getaddrinfo = _refusal("getaddrinfo")
    getnameinfo = _refusal("getnameinfo")
    create_connection = _refusal("create_connection")
    create_server = _refusal("create_server")
    create_unix_connection = _refusal("create_unix_connection")
    create_unix_server = _refusal("create_unix_server")
    connect_accepted_socket = _refusal("connect_accepted_socket")
    create_datagram_endpoint = _refusal("create_datagram_endpoint")
    connect_read_pipe = _refusal("connect_read_pipe")
    connect_write_pipe = _refusal("connect_write_pipe")
    subprocess_shell = _refusal("subprocess_shell")
    subprocess_exec = _refusal("subprocess_exec")
