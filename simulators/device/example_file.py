"""The device file that certifies a virtual device, and shows whoever writes one of their own every key that there is."""

import shlex
import sys
from pathlib import Path

_TEXT = """\
# Our device `{model}` as a device under test: hil certify device --device {path}
# What stands behind a # is a key that it does not need, with an example.
[device]
vendor = "hil"
model = "{model}"
firmware_version = "1"
# hardening = "must"                    # rows marked H become MUST; without it they are SHOULD

# [device.identity]                     # fixed credentials; without them each run makes new ones
# id = "0b6c1d5e-0000-4000-8000-000000000001"
# token = "env:BOARD_TOKEN"             # or "file:PATH", or the token itself

[device.declares]                       # what it claims: it decides which checks apply, and a claim seen broken is a FAIL
commands = ["configuration", "send_configuration", "download_firmware", "download_logo", "reboot", "reset"]
results = "required"                    # required, optional or none
qos = 2                                 # 1: then a repeated command must do no harm
persistent_session = true
download = "single"                     # single, head-get or range
keep_alive_s = 5
reboot_s = 5                            # longest time from a reboot command to the next CONNECT
result_s = 5                            # longest time to a result
connect_s = 30                          # longest time from power-on to the first CONNECT
max_payload_bytes = 4096
allow_reset = true                      # false: `reset` is never sent, as it may wipe credentials
# configuration_pointer = "/configuration"        # where in the result of send_configuration the configuration stands (JSON pointer)
# image_sha256_pointer = "/sha256"                # where in the result of a download the image's hash stands; "" if nowhere

[device.factory]                        # what `reset` restores; without it, what was seen at the start
configuration = {{ sampling_rate = 300 }}

# [[device.images]]                     # real images, two or more; without them it is sent random bytes of sensible size
# path = "images/app-2.0.5.bin"
# type = "firmware"                     # firmware or logo
# valid = true                          # false: must be refused (bad signature, wrong target)

# [[device.configurations]]             # legal configurations, two or more; without them it is sent small objects of our own
# data = {{ sampling_rate = 60, threshold = 30 }}

# [device.observe]                      # other ways to see effects: shell commands that print the value
# image_sha256 = "./print-image-hash"
# configuration = "./print-configuration"
# boot_pattern = "Booting v[0-9.]+"     # a regular expression, searched in each line of its console

# [device.prepare]                      # shell commands; {{url}} and {{port}} are a board's serial line
# flash = "./flash {{port}}"              # before the first power-on
# after_reset = "./set-up {{url}}"        # when a `reset` is done

# [bench]                               # how it reaches us: on a network of yours, not on 127.0.0.1
# bind = "0.0.0.0"
# advertise = "192.168.1.10"            # what goes into URLs
# api_port = 8080                       # without them any free ports
# mqtt_port = 1883
# tls = true                            # https and mqtts
# tls_cert = "server.pem"               # without these three by a throw-away CA, whose file HIL_CA_FILE names
# tls_key = "server.key"
# tls_ca = "ca.pem"

[device.run]                            # one of exec, attach, and the table [device.run.serial] (its keys: hil board init)
exec = "{command}"
# attach = true                         # it connects by itself
"""


def example_file(path: Path, personality: str) -> str:
    """The text of a device file at `path` that has `hil certify device` start our device of that personality with this interpreter."""
    words = [sys.executable, "-m", "harness.cli", "device", "--personality", personality]
    command = shlex.join(words).replace("\\", "\\\\").replace('"', '\\"')
    return _TEXT.format(path=path, model=personality, command=command)
