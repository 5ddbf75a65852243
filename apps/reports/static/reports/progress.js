// Shows how the work on a report gets on, and the report once it is there.

const SECOND = 1000;
const section = document.getElementById("progress");
const find = (name) => document.getElementById(`progress-${name}`);
const bar = find("bar");
let failures = 0;
let spoken = -1;

function show({ state, progress: { done, total } }) {
  if (state === "uploading") {
    find("title").textContent = "The file is arriving";
    return;
  }
  const percent = total ? Math.floor((100 * done) / total) : 0;
  find("title").textContent = done === 0 ? "Waiting for a worker" : done < total ? "Profiling" : "Putting the report together";
  find("percent").textContent = `${percent} %`;
  find("text").textContent = `${done} of ${total} parts done`;
  bar.max = total;
  bar.value = done;
  // A screen reader hears every quarter, not every second.
  const quarter = Math.floor(percent / 25);
  if (quarter !== spoken) {
    spoken = quarter;
    find("live").textContent = `${percent} percent done`;
  }
}

async function poll() {
  try {
    const response = await fetch(section.dataset.url, { headers: { Accept: "application/json" } });
    if (!response.ok) throw new Error(response.status);
    const body = await response.json();
    failures = 0;
    if (body.finished) {
      location.reload();
      return;
    }
    show(body);
  } catch (error) {
    failures += 1;
    if (error.message === "404") {
      location.reload();
      return;
    }
    find("text").textContent = "The server does not answer; trying again…";
  }
  // Not while nobody looks, and ever more rarely while the server doesn't answer.
  const wait = Math.min(SECOND * 2 ** failures, 30 * SECOND);
  setTimeout(() => (document.hidden ? addEventListener("visibilitychange", poll, { once: true }) : poll()), wait);
}

poll();
