// Follows what an element's data-events names: by server-sent events, or by asking now and then. The
// element gets "events:data" with each word, "events:away" while there is none, and "events:gone".

const SECOND = 1000;

function follow(element) {
  const url = element.dataset.events;
  const say = (name, detail) => element.dispatchEvent(new CustomEvent(`events:${name}`, { detail }));
  let failures = 0;
  let source = null;

  // Not while nobody looks, and ever more rarely while the server doesn't answer.
  function later(go) {
    const wait = Math.min(SECOND * 2 ** failures, 30 * SECOND);
    setTimeout(() => (document.hidden ? document.addEventListener("visibilitychange", go, { once: true }) : go()), wait);
  }

  async function poll() {
    try {
      const response = await fetch(url, { headers: { Accept: "application/json" } });
      if (response.status === 404) return say("gone");
      if (!response.ok) throw new Error(response.status);
      const body = await response.json();
      failures = 0;
      say("data", body);
      if (body.finished) return;
    } catch {
      failures += 1;
      say("away");
    }
    later(poll);
  }

  function stream() {
    source = new EventSource(url);
    source.onmessage = (event) => {
      const body = JSON.parse(event.data);
      say("data", body);
      if (body.finished) source.close();
    };
    // It comes again by itself, unless the answer is no stream: as many as there may be are open.
    source.onerror = () => {
      if (source.readyState === EventSource.CLOSED) poll();
    };
  }

  if (window.EventSource) stream();
  else poll();
  addEventListener("pagehide", () => source && source.close());
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
