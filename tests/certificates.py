"""A certificate made on the spot, as files for a server and as trust for its clients."""

import ssl
from pathlib import Path
from typing import NamedTuple

import trustme


class Certificate(NamedTuple):
    """Of 127.0.0.1 and localhost."""

    cert: str
    key: str
    #: What a client needs to trust it.
    client: ssl.SSLContext

    @property
    def settings(self):
        return {"tls_cert": self.cert, "tls_key": self.key}


def make_certificate(folder: Path) -> Certificate:
    """Writes `cert.pem` and `key.pem` into the folder."""
    authority = trustme.CA()
    leaf = authority.issue_cert("127.0.0.1", "localhost")
    cert, key = folder / "cert.pem", folder / "key.pem"
    for number, blob in enumerate(leaf.cert_chain_pems):
        blob.write_to_path(cert, append=number > 0)
    leaf.private_key_pem.write_to_path(key)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return Certificate(str(cert), str(key), client)
