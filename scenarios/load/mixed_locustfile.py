"""Everything at once: steady and flaky devices, commands, fast and slow downloads.

`HIL_LOAD_TARGET=target.toml locust -f mixed_locustfile.py`
"""

from scenarios.load.play import Play
from scenarios.load.users import DeviceUser, OperatorUser

play = Play("mixed")


class Device(DeviceUser):
    play = play


class Operator(OperatorUser):
    play = play
    fixed_count = play.plan.operators


Shape = play.shape()
