"""The simulated world: an event loop with virtual time, an in-memory network, and one seed that decides everything.

The unmodified stack runs in it (aiohttp server and client, the brokers, the devices). What it leaves out: TLS, threads, processes, and the
kernel's TCP (congestion window, Nagle, listen backlog); those are covered on loopback.
"""
