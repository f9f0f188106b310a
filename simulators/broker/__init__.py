"""Brokers behind one port: our own in this process, mosquitto, amqtt, and any that has a URL.

The idea: the verdict on a device is worth what the broker under it is worth, so every broker is reached through the same port and passes
or fails the same self-check. `port` is the port; `routing` and `core` are the embedded broker without input and output, `embedded` its
asyncio skin; `sqlite_store` keeps sessions across a kill; `self_check` judges any broker.
"""
