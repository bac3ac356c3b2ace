"""An SMTP server that requires STARTTLS; a hasty client writes its next command right behind it."""

import ssl
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP

CONVERSATION = [b"EHLO client\r\n", b"STARTTLS\r\n", b"NOOP\r\n"]
_CERTIFICATE = Path(__file__).parents[1] / "server.pem"


class Handler:
    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        return "250 taken"


def factory() -> SMTP:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(_CERTIFICATE)
    return SMTP(Handler(), tls_context=context, require_starttls=True)
