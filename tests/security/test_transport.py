"""TLS to the server: a private authority, client certificates, host names; and what is not TLS."""

import datetime
import ipaddress
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from jwtsession import RedisSessionStore, StoreUnavailableError
from tests import servers

pytestmark = pytest.mark.server

ID = "an-id-of-the-transport-tests"


class Authority:
    """A private certificate authority in a folder."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.ca = folder / f"{name}.ca.pem"
        certificate = self._certificate(self.subject, self.key, [x509.BasicConstraints(ca=True, path_length=0)])
        self.ca.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def issue(self, name: str, host: str = "127.0.0.1") -> tuple[Path, Path]:
        """A certificate and its key, as files."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))])
        certificate = self._certificate(subject, key, [names])
        files = self.folder / f"{name}.crt", self.folder / f"{name}.key"
        files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        no_password = serialization.NoEncryption()
        pkcs8 = serialization.PrivateFormat.PKCS8
        files[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, pkcs8, no_password))
        return files

    def _certificate(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, extensions: list[x509.ExtensionType]
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(hours=1))
        )
        for extension in extensions:
            builder = builder.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        return builder.sign(self.key, hashes.SHA256())


class TlsServer:
    """Debian's Redis, which is built with TLS, on a TLS port alone, asking for client certificates."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder, "ours")
        self.stranger = Authority(folder, "theirs")
        certificate, key = self.authority.issue("server")
        self.client = self.authority.issue("client")
        self.port = servers.free_port()
        self.socket = folder / "redis.sock"
        tls = ["--tls-cert-file", str(certificate), "--tls-key-file", str(key)]
        tls += ["--tls-ca-cert-file", str(self.authority.ca)]
        options = ["--tls-port", str(self.port), *tls, "--unixsocket", str(self.socket)]
        self.server = servers.redis(folder / "data", *options).start()
        # It reaches the primary over TLS, as it is reached itself.
        self.sentinel_port = servers.free_port()
        self.sentinel = servers.redis(folder / "sentinel")
        self.sentinel.folder.mkdir()
        config = self.sentinel.folder / "sentinel.conf"
        config.write_text(f"sentinel monitor mymaster 127.0.0.1 {self.port} 1\ntls-replication yes\n")
        ports = ["--port", str(self.sentinel.port), "--tls-port", str(self.sentinel_port), "--bind", "127.0.0.1"]
        self.sentinel.arguments = [str(config), "--sentinel", *ports, *tls]
        self.sentinel.start()

    def url(self, ca: Path | None = None, client: tuple[Path, Path] | None = None, host: str = "127.0.0.1") -> str:
        return f"rediss://{host}:{self.port}/0?{self._query(ca, client)}"

    def sentinel_url(self, ca: Path | None = None) -> str:
        return f"rediss+sentinel://127.0.0.1:{self.sentinel_port}/mymaster/0?{self._query(ca)}"

    def _query(self, ca: Path | None = None, client: tuple[Path, Path] | None = None) -> str:
        certificate, key = client or self.client
        trusted = f"ssl_ca_certs={quote(str(ca or self.authority.ca))}"
        return f"{trusted}&ssl_certfile={quote(str(certificate))}&ssl_keyfile={quote(str(key))}"


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsServer]:
    made = TlsServer(tmp_path_factory.mktemp("tls"))
    yield made
    made.sentinel.stop()
    made.server.stop()


async def test_a_private_authority_and_a_client_certificate_work(tls: TlsServer) -> None:
    """Sessions live over TLS, loads in shared round trips too."""
    store = RedisSessionStore(tls.url())
    assert await store.create(ID, b"1", 60_000)
    assert await store.load(ID) == b"1"
    assert await store.destroy(ID)
    await store.close()


@pytest.mark.parametrize("case", ["another authority", "no authority", "another client", "another host", "no TLS"])
async def test_what_is_not_trusted_is_unavailable(tls: TlsServer, case: str) -> None:
    """A server or client that the other side does not trust, a wrong host name, and plain text are 503 with a cause."""
    url = {
        "another authority": tls.url(ca=tls.stranger.ca),
        "no authority": f"rediss://127.0.0.1:{tls.port}/0",
        "another client": tls.url(client=tls.stranger.issue("stranger")),
        "another host": tls.url(host="localhost"),
        "no TLS": f"redis://127.0.0.1:{tls.port}/0",
    }[case]
    store = RedisSessionStore(url)
    for call in (store.load(ID), store.create(ID, b"1", 1000)):
        with pytest.raises(StoreUnavailableError) as caught:
            await call
        assert caught.value.__cause__ is not None
    assert not await store.ping()
    await store.close()


async def test_sentinels_are_reached_over_tls_as_their_primary_is(tls: TlsServer) -> None:
    """`rediss+sentinel://` trusts the same authority and shows the same certificate to both."""
    store = RedisSessionStore(tls.sentinel_url())
    assert await store.create(ID, b"1", 60_000)
    assert await store.load(ID) == b"1"
    assert await store.destroy(ID)
    await store.close()
    stranger = RedisSessionStore(tls.sentinel_url(ca=tls.stranger.ca))
    assert not await stranger.ping()
    await stranger.close()


async def test_a_unix_socket_works(tls: TlsServer) -> None:
    """unix:// needs no network at all."""
    store = RedisSessionStore(f"unix://{tls.socket}")
    assert await store.create(ID, b"1", 60_000)
    assert await store.load(ID, 60_000) == b"1"
    assert await store.destroy(ID)
    await store.close()


async def test_a_password_may_have_any_character(engine: servers.Server) -> None:
    """Percent-encoded in the URL, as everywhere."""
    password = "p@ss:w/o?rd#[%]é"
    engine.command("ACL", "SETUSER", "odd", "reset", "on", f">{password}", "~*", "+@all")
    store = RedisSessionStore(engine.url.replace("redis://", f"redis://odd:{quote(password, safe='')}@"))
    assert await store.ping()
    await store.close()
