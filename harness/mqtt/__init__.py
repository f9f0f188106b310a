"""MQTT 3.1.1 as a sans-IO core: codec, QoS exchange, sessions of both roles. Knows no clock and no socket."""
