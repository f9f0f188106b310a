"""A virtual device: firmware whose promises are known, so that a platform, or the instrument itself, can be judged with it.

The cores, bottom up: `flash` (what survives a power cut), `firmware` (a command in, effects out), `downloader` (one download as a state
machine, by its `download_rules`), `machine` (these and the MQTT session as one device, sans-IO). The skins move bytes: `asyncio_device` for
one device (on a `broker_line`), the fleet for thousands, Locust's users for load from many machines; `transfer` and `fetch` carry downloads
out for the skins of asyncio. `personalities` names wrong devices and imitations of real stacks: each replaces one decision of the cores and
says which requirement that breaks.
"""
