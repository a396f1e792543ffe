"use strict";
// Narrows the page by node, state, family and account; the choice is kept in the address, so that it can be sent to somebody.
const filter = document.getElementById("filter");
const fields = ["node", "state", "family", "access"].map((name) => filter.elements[name]).filter(Boolean);

function narrow() {
  const wanted = new URLSearchParams();
  for (const field of fields) if (field.value) wanted.set(field.name, field.value);
  for (const section of document.querySelectorAll("section[data-node]")) {
    let shown = 0;
    for (const entry of section.querySelectorAll("[data-family]")) {
      entry.hidden = (wanted.has("state") && entry.dataset.state !== wanted.get("state"))
        || (wanted.has("family") && entry.dataset.family !== wanted.get("family"));
      if (!entry.hidden) shown += 1;
    }
    section.hidden = (wanted.has("node") && section.dataset.node !== wanted.get("node"))
      || (shown === 0 && (wanted.has("state") || wanted.has("family")));
  }
  const words = (wanted.get("access") || "").toLowerCase().split(/\s+/).filter(Boolean);
  for (const block of document.querySelectorAll(".access")) {
    let shown = 0;
    for (const row of block.querySelectorAll("tr[data-account]")) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
      if (!row.hidden) shown += 1;
    }
    const count = block.querySelector(".shown");
    if (count) count.textContent = shown;
  }
  history.replaceState(null, "", wanted.size ? "#" + wanted : location.pathname + location.search);
}

function recall() {
  const kept = new URLSearchParams(location.hash.slice(1));
  for (const field of fields) {
    const value = kept.get(field.name) || "";
    field.value = !field.options || [...field.options].some((option) => option.value === value) ? value : "";
  }
  narrow();
}

function open(all) {
  for (const entry of document.querySelectorAll("details")) entry.open = all;
}

filter.hidden = false;
filter.addEventListener("change", narrow);
filter.addEventListener("input", narrow);
filter.addEventListener("submit", (event) => event.preventDefault());
document.getElementById("open").addEventListener("click", () => open(true));
document.getElementById("close").addEventListener("click", () => open(false));
let before = [];
addEventListener("beforeprint", () => {
  before = [...document.querySelectorAll("details:not([open])")];
  open(true);
});
addEventListener("afterprint", () => { for (const entry of before) entry.open = false; });
addEventListener("hashchange", recall);
recall();
