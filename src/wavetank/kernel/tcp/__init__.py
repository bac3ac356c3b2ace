"""TCP as programs on Linux see it: connection (states and the socket's face), output, input, timers, wire.

Byte streams in segments over `network.link.Path`, with RFC 9293's states and Linux's habits (net/ipv4/tcp*.c).
Sequence numbers start at 0 and do not wrap: no program can see them.
"""
