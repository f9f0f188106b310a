"""Operators send commands to devices that keep their connection: how many a second, and how fast they arrive.

`HIL_LOAD_TARGET=target.toml locust -f commands_locustfile.py --host https://api…`; without `--host` the target file's API is used.
"""

from scenarios.load.play import Play
from scenarios.load.users import DeviceUser, OperatorUser

play = Play("commands")


class Device(DeviceUser):
    play = play


class Operator(OperatorUser):
    play = play
    fixed_count = play.plan.operators


Shape = play.shape()
