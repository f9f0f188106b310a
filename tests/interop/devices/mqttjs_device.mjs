// A small device on MQTT.js, written as its user would write it. Run by `[device.run] exec` of a device file.
import { createHash } from "node:crypto";
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import mqtt from "mqtt";

const { HIL_MQTT_URL, HIL_DEVICE_ID: id, HIL_DEVICE_TOKEN: token, HIL_KEEP_ALIVE_S, HIL_STATE_DIR } = process.env;
const FACTORY = { sampling_rate: 300 };
const PAYLOAD_BYTES_MAX = 4096;
const file = join(HIL_STATE_DIR, "configuration.json");

const client = mqtt.connect(HIL_MQTT_URL, {
  clientId: id,
  username: id,
  password: token,
  clean: false,
  keepalive: Number(HIL_KEEP_ALIVE_S ?? 30),
});

const configuration = () => (existsSync(file) ? JSON.parse(readFileSync(file, "utf8")) : FACTORY);

function save(values) {
  writeFileSync(file + ".new", JSON.stringify(values));
  renameSync(file + ".new", file);
}

function answer(command, success, message, members = {}) {
  const body = JSON.stringify({ success, message, ...members });
  return client.publishAsync(`${id}/control/${command}/result`, body, { qos: 1 });
}

let working = Promise.resolve(); // one download after the other

async function download(command, url) {
  try {
    const response = await fetch(url, { headers: { Authorization: `Basic ${token}` }, redirect: "manual" });
    if (response.status !== 200) throw new Error(`HTTP status ${response.status}`);
    const image = Buffer.from(await response.arrayBuffer());
    writeFileSync(join(HIL_STATE_DIR, command), image);
    await answer(command, true, "installed", { size: image.length, sha256: createHash("sha256").update(image).digest("hex") });
  } catch (error) {
    await answer(command, false, String(error.message));
  }
}

function execute(command, data) {
  switch (command) {
    case "configuration":
      save(data);
      return answer(command, true, "applied");
    case "send_configuration": {
      const values = configuration();
      const shown = data.keys ? Object.fromEntries(data.keys.filter((key) => key in values).map((key) => [key, values[key]])) : values;
      return answer(command, true, "configuration", { configuration: shown });
    }
    case "download_firmware":
    case "download_logo":
      if (typeof data.url !== "string") return answer(command, false, "no url");
      working = working.then(() => download(command, data.url));
      return working;
    case "reset":
      save(FACTORY);
      return answer(command, true, "factory configuration restored");
    case "reboot":
      // The acknowledgements of the reboot must leave before the device does.
      return answer(command, true, "rebooting").then(() => setTimeout(() => client.end(false, () => process.exit(0)), 500));
    default:
      return answer(command, false, "unknown command");
  }
}

client.on("connect", () => client.subscribe(`${id}/control/+`, { qos: 2 }));
client.on("error", (error) => console.error(`mqtt: ${error.message}`));
client.on("message", (topic, payload, packet) => {
  const command = topic.split("/").pop();
  let data;
  try {
    data = JSON.parse(payload.toString());
  } catch {
    data = null;
  }
  if (packet.retain) return answer(command, false, "a retained command is stale");
  if (payload.length > PAYLOAD_BYTES_MAX) return answer(command, false, "the payload is too long");
  if (data === null || typeof data !== "object" || Array.isArray(data)) return answer(command, false, "the payload is no JSON object");
  execute(command, data);
});
