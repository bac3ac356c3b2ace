"""pymodbus: TCP and UDP server, asyncio and blocking clients; registers that are not there."""

import asyncio

from pymodbus.client import AsyncModbusTcpClient, AsyncModbusUdpClient, ModbusTcpClient
from pymodbus.server import ModbusTcpServer, ModbusUdpServer
from pymodbus.simulator import DataType, SimData, SimDevice

LIBRARIES = ("pymodbus",)
SIZE = 100


async def serve(port):
    registers = SimData(0, count=1_000, values=7, datatype=DataType.REGISTERS)
    device = SimDevice(1, simdata=[registers])
    tcp, udp = ModbusTcpServer(device, address=("", port)), ModbusUdpServer(device, address=("0.0.0.0", port))
    await udp.serve_forever(background=True)
    await tcp.serve_forever(background=True)
    await asyncio.sleep(100)
    await tcp.shutdown()
    await udp.shutdown()


async def asynchronous(client, rounds):
    assert await client.connect()
    for number in range(rounds):
        values = [(number + offset) % 65_536 for offset in range(SIZE)]
        await client.write_registers(0, values, device_id=1)
        assert (await client.read_holding_registers(0, count=SIZE, device_id=1)).registers == values
    missing = await client.read_holding_registers(5_000, count=1, device_id=1)
    client.close()
    return missing.exception_code


async def over_tcp(host, port):
    return await asynchronous(AsyncModbusTcpClient(host, port=port), 550)


async def over_udp(host, port):
    return await asynchronous(AsyncModbusUdpClient(host, port=port, timeout=0.5, retries=20), 20)


def blocking(host, port):
    with ModbusTcpClient(host, port=port) as client:
        assert client.read_holding_registers(900, count=SIZE, device_id=1).registers == [7] * SIZE
        return client.read_holding_registers(5_000, count=1, device_id=1).exception_code


def scenario(world):
    server, client = world.host("server", addresses=["10.1.0.1"]), world.host("client")
    server.run(serve, 502)
    world.sleep(0.1)
    for main in (over_tcp, over_udp, blocking):
        assert client.run(main, "server", 502).result(timeout=60) == 2  # illegal data address
