"""Load from one machine or many: Locust starts the users, the fleet's devices and ledger say what became of every command.

`cli` is `hil load`, `launcher` the processes behind it. `plan`, `shapes`, `thresholds`, `accounts` and `outcome` decide and know no
Locust. `crew`, `play` and `users` are the skin on Locust and gevent; the locustfiles stand on them. Importing Locust patches the sockets of
the whole process, so nothing outside a Locust process imports those three or a locustfile.
"""
