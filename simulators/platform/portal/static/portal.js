"use strict";

// --- the connection state of devices, on every page that shows it ---
const badges = [...document.querySelectorAll(".badge[data-device]")];
async function refreshState() {
  const answer = await fetch("/portal/state.json");
  if (!answer.ok) return;
  const { online } = await answer.json();
  if (online === null) return;
  for (const badge of badges) {
    const is = online.includes(badge.dataset.device);
    badge.textContent = is ? "connected" : "offline";
    badge.classList.toggle("good", is);
  }
}
if (badges.length) setInterval(() => refreshState().catch(() => {}), 2000);

// --- the command form: the fields that the chosen command has ---
const form = document.querySelector("#command");
if (form) {
  const chosen = () => {
    const option = form.command.selectedOptions[0];
    return { name: form.command.value, kind: option.dataset.form || form.command.value };
  };
  const show = () => {
    for (const part of form.querySelectorAll("fieldset")) part.hidden = part.disabled = !part.dataset.for.split(" ").includes(chosen().kind);
  };
  const field = (name) => form.querySelector(`fieldset:not([hidden]) [name=${name}]`);
  const dataOf = (kind) => {
    if (field("data")) return JSON.parse(field("data").value || "{}");
    if (field("file_name")) return { file_name: field("file_name").value };
    const keys = field("keys") ? field("keys").value.split(",").map((key) => key.trim()).filter(Boolean) : [];
    return keys.length ? { keys } : {};
  };
  const say = (text, isGood) => {
    const place = document.querySelector("#answer");
    place.textContent = text;
    place.className = isGood ? "good" : "bad";
  };
  form.command.addEventListener("change", show);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const { name, kind } = chosen();
    let body;
    try {
      body = JSON.stringify({ command: name || field("name").value, data: dataOf(kind) });
    } catch (error) {
      return say(`The data is no JSON: ${error.message}`, false);
    }
    try {
      const answer = await fetch(`/portal/devices/${form.dataset.device}/commands`, { method: "POST", body });
      const { success, message } = await answer.json();
      say(success ? message : `${answer.status}: ${message}`, success);
    } catch (error) {
      say("The platform cannot be reached.", false);
    }
  });
  show();
}

// --- the timeline: one line per event, newest first; the progress of a download moves in place ---
const timeline = document.querySelector("#timeline");
if (timeline) {
  const LINES_MAX = 500;
  const bars = new Map();
  const live = document.querySelector("#live");
  const element = (tag, className, text) => {
    const made = document.createElement(tag);
    if (className) made.className = className;
    if (text) made.textContent = text;
    return made;
  };
  const add = (line) => {
    const known = line.progress !== null && bars.get(line.key);
    if (known) {
      known.bar.value = line.progress;
      if (!line.outcome && line.text.includes("bytes")) {
        known.text.textContent = line.text;
        return;
      }
    }
    const item = element("li", line.lane);
    const body = element("div");
    const text = element("span", line.outcome, line.text);
    item.append(element("time", "", line.at.slice(11, 23)), element("span", "lane", line.lane), body);
    body.append(text);
    if (line.detail) body.append(element("span", "detail", line.detail));
    if (line.progress !== null && !known) {
      const bar = element("progress");
      bar.max = 1;
      bar.value = line.progress;
      body.append(bar);
      bars.set(line.key, { bar, text });
    }
    timeline.prepend(item);
    if (timeline.children.length > LINES_MAX) timeline.lastElementChild.remove();
    document.querySelector("#empty").hidden = true;
  };
  const source = new EventSource(`/portal/devices/${timeline.dataset.device}/events`);
  source.onopen = () => {
    timeline.replaceChildren();
    bars.clear();
    live.textContent = "live";
    live.className = "badge good";
  };
  source.onerror = () => {
    live.textContent = "reconnecting";
    live.className = "badge bad";
  };
  source.onmessage = (event) => add(JSON.parse(event.data));
}
