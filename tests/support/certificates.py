"""Certificates for tests that speak TLS: an authority, a server and a client, valid from 2020 to the end of 2099.

The server's is for `localhost`, `alpha`, `beta`, `server`, `*.test`, 127.0.0.1 and ::1. The keys protect nothing. Made
once with the `cryptography` package, P-256 and SHA-256, so that a handshake is small and quick.
"""

from pathlib import Path
from typing import NamedTuple


class Files(NamedTuple):
    """Paths, as `ssl` wants them: the authority alone, and key with certificate in one file."""

    authority: str
    server: str
    client: str


def write(folder: Path) -> Files:
    """Write the three files."""
    texts = {"authority.pem": AUTHORITY, "server.pem": SERVER, "client.pem": CLIENT}
    for name, text in texts.items():
        (folder / name).write_text(text)
    return Files(*(str(folder / name) for name in texts))


AUTHORITY = """\
-----BEGIN CERTIFICATE-----
MIIBhzCCASygAwIBAgIBATAKBggqhkjOPQQDAjAZMRcwFQYDVQQDDA5XYXZldGFu
ayB0ZXN0czAgFw0yMDAxMDEwMDAwMDBaGA8yMTAwMDEwMTAwMDAwMFowGTEXMBUG
A1UEAwwOV2F2ZXRhbmsgdGVzdHMwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAARi
LFNpBKnLRiSoUvJjeMfVLYBZr6Z9djKYds/mN9NXBwUDdfAeEX37OmcAuLU/7MoH
hAuFpNQ4mGkSYsxm/uzOo2MwYTAPBgNVHRMBAf8EBTADAQH/MB0GA1UdDgQWBBS3
njeMc4F+0TCv7hXeF3thkL4iZzAfBgNVHSMEGDAWgBS3njeMc4F+0TCv7hXeF3th
kL4iZzAOBgNVHQ8BAf8EBAMCAYYwCgYIKoZIzj0EAwIDSQAwRgIhALR4W5hU0Kdx
Jqhpeme2TaOJdzuhsStGs2DysHgSmFejAiEAmzZpHpCYqk3m83LohDDVh2KZlyaB
2aFwVZaTT/xHgpQ=
-----END CERTIFICATE-----
"""

SERVER = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg2ZrlTuqo5MkZVHb6
+Yv9MFPsIThv8rB3lfKdCDx1zF+hRANCAATRlhEfIc3VTAEJa540xtUIfYPZ++zg
Ad8iU4WBq6GY/u+tioezHv7ELVCRTBh6XpHSibz3NnH1ZbWnJ+cFtoYK
-----END PRIVATE KEY-----
-----BEGIN CERTIFICATE-----
MIIBuDCCAV6gAwIBAgIBAjAKBggqhkjOPQQDAjAZMRcwFQYDVQQDDA5XYXZldGFu
ayB0ZXN0czAgFw0yMDAxMDEwMDAwMDBaGA8yMTAwMDEwMTAwMDAwMFowETEPMA0G
A1UEAwwGc2VydmVyMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE0ZYRHyHN1UwB
CWueNMbVCH2D2fvs4AHfIlOFgauhmP7vrYqHsx7+xC1QkUwYel6R0om89zZx9WW1
pyfnBbaGCqOBnDCBmTAMBgNVHRMBAf8EAjAAMB0GA1UdDgQWBBTs/A7mtn+YQIoB
cQe9UknD2mHTCzAfBgNVHSMEGDAWgBS3njeMc4F+0TCv7hXeF3thkL4iZzBJBgNV
HREEQjBAgglsb2NhbGhvc3SCBWFscGhhggRiZXRhggZzZXJ2ZXKCBioudGVzdIcE
fwAAAYcQAAAAAAAAAAAAAAAAAAAAATAKBggqhkjOPQQDAgNIADBFAiEAgwX5mD3i
SlQD1HKaswjpkjispIYmlfOYDDVDrnmNMSYCIGMV+STwOXQWl8pstBJQJu/jBJfy
c9v3PTeMwPvvIv6j
-----END CERTIFICATE-----
"""

CLIENT = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg1Lx/QYBWJFGdGB94
U1mwFdS+XMmAgkP1+BYJNnwrCu+hRANCAARWvLHgr0SwJ2aRe05TAT/St1GRh9Rd
wPVZRNsesPBo2cDSyljMRPLSvZhF1A1YFFzBq04LQlNe8c10g8XXkxIZ
-----END PRIVATE KEY-----
-----BEGIN CERTIFICATE-----
MIIBfzCCASSgAwIBAgIBAzAKBggqhkjOPQQDAjAZMRcwFQYDVQQDDA5XYXZldGFu
ayB0ZXN0czAgFw0yMDAxMDEwMDAwMDBaGA8yMTAwMDEwMTAwMDAwMFowETEPMA0G
A1UEAwwGY2xpZW50MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEVryx4K9EsCdm
kXtOUwE/0rdRkYfUXcD1WUTbHrDwaNnA0spYzETy0r2YRdQNWBRcwatOC0JTXvHN
dIPF15MSGaNjMGEwDAYDVR0TAQH/BAIwADAdBgNVHQ4EFgQUMPfLR4q48tmw0rqB
2Zo5yaEXMKwwHwYDVR0jBBgwFoAUt543jHOBftEwr+4V3hd7YZC+ImcwEQYDVR0R
BAowCIIGY2xpZW50MAoGCCqGSM49BAMCA0kAMEYCIQDkys22ze+p5izu6jbMKVAs
lcgkvvAy04/9ZAC+BnqH8gIhAL86GoJ9cpkNc3PpWpNGGh4Vo0yIvcQ8okjlgPbC
uqAH
-----END CERTIFICATE-----
"""
