"""The Modbus/TCP server of pymodbus, and a client that keeps several requests under way."""

import logging
import struct
from typing import Any

from pymodbus.datastore import ModbusSequentialDataBlock, ModbusServerContext, ModbusSlaveContext
from pymodbus.server import ModbusTcpServer

logging.disable(logging.CRITICAL)

CONVERSATION = [
    struct.pack(">HHHBBHH", number, 0, 6, 1, 3, address, 1) for number, address in enumerate([0, 3, 1, 4, 2], 1)
]


async def factory() -> Any:
    store = ModbusSlaveContext(hr=ModbusSequentialDataBlock(0, list(range(100, 120))))
    server = ModbusTcpServer(ModbusServerContext(slaves=store, single=True), address=("127.0.0.1", 0))
    await server.serve_forever()
