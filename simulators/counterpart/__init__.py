"""The platform that we play for a device under test: reference platform, scriptable broker, faults and the device's power in one bench."""
