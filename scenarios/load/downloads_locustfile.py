"""Firmware downloads over slow cellular links, while the MQTT connections stay.

`HIL_LOAD_TARGET=target.toml locust -f downloads_locustfile.py`
"""

from scenarios.load.play import Play
from scenarios.load.users import DeviceUser, OperatorUser

play = Play("downloads")


class Device(DeviceUser):
    play = play


class Operator(OperatorUser):
    play = play
    fixed_count = play.plan.operators


Shape = play.shape()
