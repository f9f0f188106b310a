"""Devices that come, lose their connection and come back, with a few commands that must survive it.

`HIL_LOAD_TARGET=target.toml locust -f devices_locustfile.py`
"""

from scenarios.load.play import Play
from scenarios.load.users import DeviceUser, OperatorUser

play = Play("devices")


class Device(DeviceUser):
    play = play


class Operator(OperatorUser):
    play = play
    fixed_count = play.plan.operators


Shape = play.shape()
