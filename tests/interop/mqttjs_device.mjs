// A device on MQTT.js, for test_mqttjs_against_embedded_broker.py: node mqttjs_device.mjs URL CLIENT_ID COUNT
// Subscribes with QoS 2 and a persistent session, prints one line per event, ends after COUNT messages (0: after the SUBACK).
import mqtt from "mqtt";

const [url, clientId, count] = [process.argv[2], process.argv[3], Number(process.argv[4])];
const client = mqtt.connect(url, { clientId, clean: false, reconnectPeriod: 0, username: clientId, password: "token" });
let received = 0;

client.on("connect", (connack) => {
  console.log(`connected ${connack.sessionPresent}`);
  if (connack.sessionPresent) return;
  client.subscribe(`${clientId}/control/+`, { qos: 2 }, (_error, granted) => {
    console.log(`granted ${granted[0].qos}`);
    if (count === 0) process.exit(0);
  });
});
client.on("message", (topic, payload, packet) => {
  console.log(`message ${topic} ${payload} ${packet.qos} ${packet.retain}`);
  client.publish(`${topic}/result`, `{"success": true}`, { qos: 2 }, () => {
    received += 1;
    if (received === count) client.end(false, () => process.exit(0));
  });
});
client.on("error", (error) => {
  console.log(`error ${error.message}`);
  process.exit(1);
});
