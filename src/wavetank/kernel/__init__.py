"""The simulated kernel: clock, threads, processes, descriptors, sockets, as programs see them through the C modules."""
