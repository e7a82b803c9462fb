"use strict";
(() => {
  // The page is whole without this script: it only hides rows with their cards, and orders them.
  const body = document.querySelector("#list tbody");
  if (!body) return;
  const step = Number(body.dataset.step); // rows laid out at a time
  document.documentElement.classList.add("js");
  const form = document.querySelector(".tools"), input = document.querySelector("#filter");
  const count = form.querySelector("output"), mores = document.querySelectorAll(".more");
  let rows = [...body.rows].map((row) => ({
    row, card: document.getElementById("f" + row.id.slice(1)), text: row.textContent.toLowerCase(),
  }));
  let shown = step, matching = rows;

  const lay = (list) => {
    const laid = new Set(list);
    for (const r of rows) for (const part of [r.row, r.card]) part.classList.toggle("later", !laid.has(r));
    body.prepend(...list.map((r) => r.row)); // in their order; that of the hidden does not matter
  };
  const show = () => {
    lay(matching.slice(0, shown));
    for (const more of mores) more.hidden = matching.length <= shown;
    const all = rows.length.toLocaleString("en") + " open ports";
    count.textContent = matching.length === rows.length ? all : matching.length.toLocaleString("en") + " of " + all;
  };
  const filter = () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    matching = rows.filter((r) => words.every((w) => r.text.includes(w)));
    shown = step;
    show();
  };
  const key = (r, column) => { const cell = r.row.cells[column]; return cell.dataset.key ?? cell.textContent.trim(); };
  const sort = (th, column) => {
    const down = th.getAttribute("aria-sort") === "ascending";
    for (const other of th.parentNode.cells) other.removeAttribute("aria-sort");
    th.setAttribute("aria-sort", down ? "descending" : "ascending");
    const number = th.dataset.sort === "number", sign = down ? -1 : 1;
    const keyed = rows.map((r, i) => ({ r, i, k: number ? Number(key(r, column)) : key(r, column).toLowerCase() }));
    keyed.sort((a, b) => (a.k < b.k ? -sign : a.k > b.k ? sign : a.i - b.i));
    rows = keyed.map((e) => e.r);
    filter();
  };
  document.querySelectorAll("#list th[data-sort]").forEach((th, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = th.textContent;
    th.replaceChildren(button);
    button.addEventListener("click", () => sort(th, column));
  });
  let waiting;
  input.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(filter, 120); });
  form.addEventListener("reset", () => setTimeout(filter));
  form.addEventListener("submit", (e) => { e.preventDefault(); filter(); });
  for (const more of mores) more.querySelector("button").addEventListener("click", () => { shown += step; show(); });
  document.addEventListener("click", (e) => {
    const from = e.target.closest("[data-query]");
    if (!from || !from.dataset.query) return;
    input.value = from.dataset.query;
    filter();
    document.querySelector("#list").scrollIntoView();
    input.focus({ preventScroll: true });
  });
  // The fragment #f7 opens a card; #q=vite&sort=-1 filters, and sorts by the second column, downwards.
  const open = () => {
    const id = location.hash.slice(1), view = new URLSearchParams(id);
    if (view.has("sort")) {
      const column = Math.abs(parseInt(view.get("sort"), 10)), th = document.querySelectorAll("#list th[data-sort]")[column];
      if (th) {
        th.setAttribute("aria-sort", view.get("sort").startsWith("-") ? "ascending" : "none");
        sort(th, column);
      }
    }
    if (view.has("q")) {
      input.value = view.get("q");
      filter();
      document.querySelector("#list").scrollIntoView();
    }
    const card = /^(f|port)\d+$/.test(id) && document.getElementById(id);
    if (!card) return;
    card.classList.remove("later");
    card.open = true;
    card.scrollIntoView();
  };
  addEventListener("hashchange", open);
  addEventListener("beforeprint", () => lay(matching)); // not only the first
  addEventListener("afterprint", show);
  form.hidden = false;
  filter();
  open();
})();
