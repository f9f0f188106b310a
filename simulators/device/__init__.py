"""A virtual device: firmware whose promises are known, so that a platform, or the instrument itself, can be judged with it.

The cores, bottom up: `flash` (what survives a power cut), `firmware` (a command in, effects out), `downloader` (one download as a state
machine), `link` (the MQTT session with the habits that personalities replace), `machine` (all of these as one device, sans-IO). The skins
move bytes: `asyncio_device` for one device, the fleet for thousands, Locust's users for load from many machines. `personalities` names
wrong devices and imitations of real stacks: each replaces one decision of the cores and says which requirement that breaks.
"""
