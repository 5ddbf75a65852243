// Sends the form with a progress bar. Without this script the form works by itself.
// XMLHttpRequest, since fetch() tells nothing of how much has been sent.

const find = (name) => document.getElementById(`upload-${name}`);
const form = find("form");
const input = find("file");
const progress = find("progress");
const error = find("error");
const text = form.querySelector(".drop-text");
const unchosen = text.innerHTML;

function size(bytes) {
  if (bytes < 1024) return `${bytes} bytes`;
  const [amount, unit] = bytes < 1048576 ? [bytes / 1024, "KB"] : [bytes / 1048576, "MB"];
  return `${amount.toFixed(amount < 10 ? 1 : 0)} ${unit}`;
}

function show(message) {
  error.textContent = message;
  error.hidden = !message;
  input.toggleAttribute("aria-invalid", Boolean(message));
}

function sending(isSending) {
  form.hidden = isSending;
  progress.hidden = !isSending;
}

function refuse(message) {
  sending(false);
  show(message);
  input.focus();
}

function answered(request) {
  let body = {};
  try {
    body = JSON.parse(request.responseText);
  } catch {
    // A proxy's or a log-in page, say: the status is all there is.
  }
  if (request.status === 202 && body.url) {
    location.assign(body.url);
  } else if (request.status === 413) {
    refuse(body.detail || "The file is too large.");
  } else if (body.detail) {
    refuse(body.detail);
  } else if (request.status === 403 || request.status === 200) {
    refuse("You are no longer logged in, or this page is old. Load it again.");
  } else {
    refuse(`The server answered with an error (${request.status}). Try again in a minute.`);
  }
}

function send(file) {
  show("");
  if (file.size > Number(form.dataset.maxMb) * 1048576) {
    refuse(`The file has ${size(file.size)}; the limit here is ${form.dataset.maxMb} MB.`);
    return;
  }
  const request = new XMLHttpRequest();
  request.open("POST", form.action);
  request.setRequestHeader("Accept", "application/json");
  request.upload.addEventListener("progress", (event) => {
    const percent = Math.floor((100 * event.loaded) / event.total);
    find("bar").value = percent;
    find("percent").textContent = `${percent} % of ${size(event.total)}`;
  });
  request.upload.addEventListener("load", () => {
    find("status").textContent = "Checking the last lines…";
  });
  request.addEventListener("load", () => answered(request));
  request.addEventListener("error", () => refuse("The connection broke. Try again."));
  request.addEventListener("abort", () => sending(false));
  find("cancel").onclick = () => request.abort();
  find("status").textContent = `Uploading ${file.name}`;
  find("bar").value = 0;
  find("percent").textContent = "";
  sending(true);
  request.send(new FormData(form));
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (input.files.length) send(input.files[0]);
});

input.addEventListener("change", () => {
  const [file] = input.files;
  show("");
  if (file) text.textContent = `${file.name} (${size(file.size)})`;
  else text.innerHTML = unchosen;
});

// The input covers its label, so that a file can be dropped there without more code than a frame.
for (const type of ["dragenter", "dragover"]) form.addEventListener(type, () => form.classList.add("over"));
for (const type of ["dragleave", "drop"]) form.addEventListener(type, () => form.classList.remove("over"));
