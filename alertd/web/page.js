// Draws the page anew while it is looked at. Without it the page is whole, only still.
const EVERY = 30_000;

function keepOpen(next) {
  for (const fold of document.querySelectorAll("details[open][id]")) {
    next.querySelector(`#${CSS.escape(fold.id)}`)?.setAttribute("open", "");
  }
}

function keepFocus(next) {
  const link = document.activeElement?.closest?.("main a[href]")?.getAttribute("href");
  return () => link && next.querySelector(`a[href="${CSS.escape(link)}"]`)?.focus({ preventScroll: true });
}

async function refresh() {
  const main = document.querySelector("main");
  if (document.hidden || main.querySelector("input:focus") || !getSelection().isCollapsed) return;
  const answer = await fetch(location.href, { headers: { accept: "text/html" } }).catch(() => null);
  if (answer?.status === 401) location.reload();
  if (!answer?.ok) return tell("not refreshed: the server does not answer");
  const next = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("main");
  keepOpen(next);
  const refocus = keepFocus(next);
  main.replaceWith(next);
  refocus();
  tell("refreshes by itself");
}

function tell(words) {
  const live = document.getElementById("live");
  if (live && live.textContent !== words) live.textContent = words;
}

const own = document.getElementById("own-zone");
if (own) {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const link = new URL(own.href);
  link.searchParams.set("zone", zone);
  own.href = link;
  own.textContent = `This browser: ${zone}`;
  own.hidden = false;
}

if (document.getElementById("live")) {
  tell("refreshes by itself");
  setInterval(refresh, EVERY);
  document.addEventListener("visibilitychange", refresh);
}
