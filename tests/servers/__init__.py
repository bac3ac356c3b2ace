"""Third-party servers on the live ground: real processes, real sockets on loopback."""
