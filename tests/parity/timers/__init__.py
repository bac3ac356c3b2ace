"""Timers of TCP that loopback cannot show: programs, real Linux in network namespaces, and the page of results."""
