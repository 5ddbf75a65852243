// Follows what an element's data-events names: by server-sent events, or by asking now and then where as
// many streams are open as there may be. Not by EventSource, to which that answer would be an error. The
// element gets "events:data" with each word, "events:away" while there is none, and "events:gone".

const SECOND = 1000;

function follow(element) {
  const url = element.dataset.events;
  const say = (name, detail) => element.dispatchEvent(new CustomEvent(`events:${name}`, { detail }));
  const leaving = new AbortController();
  let failures = 0;
  let finished = false;

  function tell(body) {
    finished = body.finished;
    say("data", body);
  }

  async function read(stream) {
    const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    while (!finished) {
      const { value, done } = await reader.read();
      if (done) return;
      const events = (text + value).split("\n\n");
      text = events.pop();
      for (const event of events) {
        const line = event.split("\n").find((one) => one.startsWith("data: "));
        if (line) tell(JSON.parse(line.slice("data: ".length)));
      }
    }
    await reader.cancel();
  }

  async function ask() {
    try {
      const headers = { Accept: "text/event-stream, application/json" };
      const response = await fetch(url, { headers, signal: leaving.signal });
      if (response.status === 404) return say("gone");
      if (!response.ok) throw new Error(response.status);
      failures = 0;
      const streams = response.headers.get("Content-Type").startsWith("text/event-stream");
      await (streams ? read(response.body) : response.json().then(tell));
    } catch {
      if (leaving.signal.aborted) return;
      failures += 1;
      say("away");
    }
    if (finished) return;
    // Not while the page is hidden, and ever more rarely while the server doesn't answer.
    const wait = Math.min(SECOND * 2 ** failures, 30 * SECOND);
    setTimeout(() => (document.hidden ? document.addEventListener("visibilitychange", ask, { once: true }) : ask()), wait);
  }

  addEventListener("pagehide", () => leaving.abort());
  addEventListener("pageshow", (event) => event.persisted && location.reload());
  ask();
}

function show({ target: element, detail: { state, done, total, message } }) {
  const bar = element.querySelector("progress");
  if (total) bar.max = total;
  if (done !== null) bar.value = done;
  if (state === "done") bar.value = bar.max;
  element.querySelector("span").textContent = message || state;
}

for (const element of document.querySelectorAll("[data-events]")) {
  if ("taskProgress" in element.dataset) element.addEventListener("events:data", show);
  follow(element);
}
