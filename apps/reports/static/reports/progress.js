// Shows how the work on a report gets on, and the report once it is there; events.js brings the news.

const section = document.getElementById("progress");
const find = (name) => document.getElementById(`progress-${name}`);
const bar = find("bar");
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

section.addEventListener("events:data", ({ detail }) => (detail.finished ? location.reload() : show(detail)));
section.addEventListener("events:gone", () => location.reload());
section.addEventListener("events:away", () => {
  find("text").textContent = "The server does not answer; trying again…";
});
