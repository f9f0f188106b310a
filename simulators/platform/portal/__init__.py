"""The portal: a small web page for people. Log in with an API key, keep files, command a device and watch what becomes of it.

`timeline` turns the platform's trail and the broker's packets into lines of one device; `pages` serves them. Whatever a user does here
goes through the same service as the REST side, under the rights of the API key.
"""
