"""The Modbus/TCP client of pymodbus reads registers of a device."""

import logging
import struct
from typing import Any

from pymodbus.client import AsyncModbusTcpClient

logging.disable(logging.CRITICAL)


def reply(transaction: int, address: int, count: int) -> bytes:
    data = b"".join(struct.pack(">H", address + number) for number in range(count))
    return struct.pack(">HHHBBB", transaction, 0, 3 + len(data), 1, 3, len(data)) + data


def request(transaction: int, address: int, count: int) -> bytes:
    return struct.pack(">HHHBBHH", transaction, 0, 6, 1, 3, address, count)


CONVERSATION = [
    ("<", request(1, 100, 3)),
    (">", reply(1, 100, 3)),
    ("<", request(2, 200, 20)),
    (">", reply(2, 200, 20)),
]


async def factory() -> Any:
    client = AsyncModbusTcpClient("127.0.0.1", port=5020, timeout=3, retries=0, reconnect_delay=0)
    await client.connect()
    read = []
    for address, count in ((100, 3), (200, 20)):
        found = await client.read_holding_registers(address, count, slave=1)
        read.append(found.registers)
    client.close()
    return read
