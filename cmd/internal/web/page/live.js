"use strict";
(() => {
  // The pages are whole without this script: it only moves the numbers of runs.
  const every = 5000; // milliseconds
  const shown = new Map([...document.querySelectorAll("[data-run]")].map((e) => [e.dataset.run, e]));
  const notice = document.querySelector("[data-live]");
  if (!notice) return;
  notice.textContent = "moves by itself";
  const again = () => { // something began or ended: the page has more to say than numbers
    const at = document.activeElement;
    if (!at || at === document.body || at.tagName === "A") location.reload();
    else notice.textContent = "something has changed: load the page again";
  };
  const show = (run, row) => {
    for (const field of row.querySelectorAll("[data-f]")) {
      const text = run[field.dataset.f];
      if (text !== undefined && field.textContent !== text) field.textContent = text;
    }
    const bar = row.querySelector("progress");
    if (bar) bar.value = run.share;
  };
  const look = async () => {
    if (document.hidden) return;
    try {
      const answer = await fetch("/live.json", { headers: { Accept: "application/json" }, redirect: "error" });
      if (answer.status === 401) return void (notice.textContent = "does not move: you are logged out, load the page again");
      if (!answer.ok) throw new Error(answer.statusText);
      const runs = (await answer.json()).runs;
      let changed = [...shown.keys()].some((id) => !runs.some((run) => run.id === id)); // the server was started again
      for (const run of runs) {
        const row = shown.get(run.id), over = run.state === "complete" || run.state === "incomplete";
        if (!row) changed ||= !over && notice.dataset.live === "all";
        else if (row.dataset.state !== run.state) changed = true;
        else show(run, row);
      }
      if (changed) return again();
      notice.textContent = "moves by itself";
    } catch {
      notice.textContent = "does not move: the server did not answer";
    }
  };
  setInterval(look, every);
})();
