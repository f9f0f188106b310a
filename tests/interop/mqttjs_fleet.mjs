// Devices on MQTT.js for `make bench PART=fleet`: node mqttjs_fleet.mjs HOST PORT; obeys the lines of tests/simulators/fleet/peer_clients.py.
import mqtt from "mqtt";
import readline from "node:readline";

const [host, port] = process.argv.slice(2);
const AT_A_TIME = 128;
let [arrived, expected] = [0, -1];

const tell = (answer) => process.stdout.write(JSON.stringify(answer) + "\n");

const connectOne = (number) =>
  new Promise((resolve) => {
    const clientId = `dev-${String(number).padStart(5, "0")}`;
    const client = mqtt.connect(`mqtt://${host}:${port}`, { clientId, reconnectPeriod: 0 });
    client.on("connect", () => client.subscribe(`${clientId}/control/+`, { qos: 2 }, resolve));
    client.on("message", (topic) => {
      client.publish(`${topic}/result`, '{"success": true}', { qos: 1 });
      arrived += 1;
      if (arrived === expected) tell("delivered");
    });
  });

const connect = async (count) => {
  let next = 0;
  const work = async () => {
    while (next < count) await connectOne(next++);
  };
  await Promise.all(Array.from({ length: AT_A_TIME }, work));
  tell("connected");
};

readline.createInterface({ input: process.stdin }).on("line", (line) => {
  const order = JSON.parse(line);
  if (order.connect) connect(order.connect);
  else if (order.expect) {
    expected = order.expect;
    tell("waiting");
    if (arrived >= expected) tell("delivered");
  } else process.exit(0);
});
tell("ready");
