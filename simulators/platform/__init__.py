"""The reference platform: REST in, MQTT out, one-time downloads; the counterpart that every device is certified against.

Cores decide and touch nothing: `access` (who calls), `commands` (what is admitted), `keys` (the life of a download key), `files` (names
and headers). Skins move bytes: `store` (SQLite), `contents` (files on disk), `http` and `downloads` (aiohttp), `platform` ties them
together. What a platform decides is data in `rules`, so that a wrong platform is the reference with one decision replaced.
"""
