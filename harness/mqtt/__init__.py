"""MQTT 3.1.1 without input and output: bytes in, packets and duties out, for both ends of a connection.

No socket, no clock, no event loop: asyncio, gevent and simulated skins share this core, and tests drive it directly.
The modules, bottom up: `topic_filters` (the rules of topic names and filters), `packets` (the values), `encoding` and
`decoding` (the codec), `exchange` (the QoS 1 and QoS 2 exchanges as tables), `client_session` and `server_session` (what
each end remembers of the other).

Source of all rules: MQTT Version 3.1.1, OASIS Standard, 29 October 2014; statements are cited by their number, as in
`MQTT-3.3.1-4`, and sections without numbered statements as `2.2.3`.
"""
