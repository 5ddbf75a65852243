/* Refreshes what is on the page every 3 seconds: not while it is hidden, nor while a person is at a
   form, has opened something, or has marked text. Without this file the pages work, and stand still. */
"use strict";
(function () {
  const EVERY = 3000;
  /* On a phone, the tab of this page may be beyond the edge. */
  const tab = document.querySelector("nav [aria-current]");
  if (tab) tab.scrollIntoView({ inline: "center", block: "nearest" });
  function busy(live) {
    const at = document.activeElement;
    const typing = at && live.contains(at) && /^(INPUT|TEXTAREA|SELECT|BUTTON|SUMMARY)$/.test(at.tagName);
    const marked = window.getSelection && String(window.getSelection()).length > 0;
    return document.hidden || typing || marked || live.querySelector("details[open]") !== null;
  }
  window.setInterval(function () {
    const live = document.getElementById("live");
    if (live && live.hasAttribute("data-poll") && window.htmx && !busy(live)) {
      window.htmx.trigger(live, "refresh");
    }
  }, EVERY);
  /* A page that says that PostgreSQL is away comes with 503, and is to be seen all the same. */
  document.addEventListener("htmx:beforeSwap", function (event) {
    if (event.detail.xhr.status === 503) {
      event.detail.shouldSwap = true;
      event.detail.isError = false;
    }
  });
})();
