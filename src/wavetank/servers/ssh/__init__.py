"""SSH servers for tests, and port forwarding through three clients; `SSHForward` is the way in.

Modules: `access` (how a server is reached, keys), `openssh` (sshd and the ssh client as processes), `with_asyncssh` and
`with_conch` (server and client in this process), `forward` (`SSHForward`), `socks`, `loop` (the thread that in-process
parts run in). AsyncSSH and Twisted are imported by the modules named after them, and only when used.
"""
