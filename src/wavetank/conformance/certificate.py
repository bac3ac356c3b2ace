"""A certificate for the TLS endpoints of the suite: for localhost and 127.0.0.1, valid from 2020 to the end of 2099.

It is its own authority, and its key protects nothing. Made once with the `cryptography` package, P-256 and SHA-256.
"""

from __future__ import annotations

import os
import ssl
import tempfile
from typing import Final

CERTIFICATE: Final = """\
-----BEGIN CERTIFICATE-----
MIIBfjCCASOgAwIBAgIBATAKBggqhkjOPQQDAjAfMR0wGwYDVQQDDBRXYXZldGFu
ayBjb25mb3JtYW5jZTAgFw0yMDAxMDEwMDAwMDBaGA8yMTAwMDEwMTAwMDAwMFow
HzEdMBsGA1UEAwwUV2F2ZXRhbmsgY29uZm9ybWFuY2UwWTATBgcqhkjOPQIBBggq
hkjOPQMBBwNCAARV8XRK0s3N/ZZpqMA5Acyzmyil0f2+31vXWDXMKa/I10WonARP
c+K2xJjIwmzmFv2MlEgcmgJLkcppYDOO8cYpo04wTDAPBgNVHRMBAf8EBTADAQH/
MB0GA1UdDgQWBBSRcUuD1jTqjgB8hR/V0lpOWDlTKTAaBgNVHREEEzARgglsb2Nh
bGhvc3SHBH8AAAEwCgYIKoZIzj0EAwIDSQAwRgIhAIbt0GcoX/FFev6LL5YEp0in
3PZkDhwp0vQ8rXdhyhl3AiEAw/BQoVzk1TZ9zbeGHQFGW3Hfu/zQyZ2APvdSR4kw
b/c=
-----END CERTIFICATE-----
"""

KEY: Final = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgToqMwxYz/3d1MxA3
6g2rSuoJGe+yMXhgF/tasRlyvsOhRANCAARV8XRK0s3N/ZZpqMA5Acyzmyil0f2+
31vXWDXMKa/I10WonARPc+K2xJjIwmzmFv2MlEgcmgJLkcppYDOO8cYp
-----END PRIVATE KEY-----
"""


def file_in(folder: str) -> str:
    """Write key and certificate into one file below `folder`, as `ssl` wants them; its path."""
    path = os.path.join(folder, "conformance.pem")
    with open(path, "w") as file:
        file.write(KEY + CERTIFICATE)
    return path


def serving() -> ssl.SSLContext:
    """The context of the side that accepts."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory(prefix="wavetank-") as folder:
        context.load_cert_chain(file_in(folder))
    return context


def asking() -> ssl.SSLContext:
    """The context of the side that connects: it trusts this certificate and no other."""
    return ssl.create_default_context(cadata=CERTIFICATE)
