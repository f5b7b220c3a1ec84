"""A port that speaks TLS before a test server."""

import asyncio
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from servers import Server


@contextmanager
def tls(server: Server, home: Path) -> Iterator[tuple[int, Path]]:
    """A port that speaks TLS before the server, and its certificate."""
    certificate, key = home / "certificate.pem", home / "key.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    made = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-keyout",
        key,
        "-out",
        certificate,
    ]
    try:
        subprocess.run([*made, *subject], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("no openssl here to make a certificate")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    listening, ended = socket.create_server(("127.0.0.1", 0)), threading.Event()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_unix_connection(server.socket)
        await asyncio.gather(pump(reader, inner_writer), pump(inner_reader, writer))

    async def run() -> None:
        async with await asyncio.start_server(serve, sock=listening, ssl=context):
            await asyncio.to_thread(ended.wait, 60)
            await asyncio.sleep(0.05)

    thread = threading.Thread(target=asyncio.run, args=(run(),))
    thread.start()
    try:
        yield listening.getsockname()[1], certificate
    finally:
        ended.set()
        thread.join()
