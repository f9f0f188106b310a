"""Thousands of virtual devices in one process, and the count of what happened to each command.

`ledger` is the pure bookkeeping: every command ends in exactly one column; `judgement` says what that makes of a run. `admission` takes
devices in, `device_line` is one device's connection without a task or a timer of its own, `fleet` (and `gevent_fleet`, for Locust) the
devices and what they share, `operators` those who send commands (REST or MQTT), `run` one run, `cli` the command line.
"""
