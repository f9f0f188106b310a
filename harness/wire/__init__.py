"""The vocabulary of the protocol: words and bodies of the REST and MQTT messages. No I/O, and no decision about right or wrong."""
