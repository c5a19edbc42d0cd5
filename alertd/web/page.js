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

// What somebody types, or has typed, is not drawn over.
function isTyped(field) {
  if (field === document.activeElement) return true;
  if (field.type === "hidden") return false;
  if (!field.options) return field.value !== field.defaultValue;
  const first = [...field.options].findIndex((option) => option.defaultSelected);
  return field.selectedIndex !== Math.max(0, first);
}

async function refresh() {
  const main = document.querySelector("main");
  if (document.hidden || main.querySelector("form.form") || !getSelection().isCollapsed) return;
  if ([...main.querySelectorAll("input, select, textarea")].some(isTyped)) return;
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

// The words of a chart's column beside the pointer, at once and on touch; without this the browser shows its title.
const tip = document.createElement("div");
tip.className = "chart-tip";
tip.setAttribute("aria-hidden", "true");
tip.hidden = true;
document.body.append(tip);

function hint(event) {
  const column = event.target.closest?.("rect");
  const title = column?.querySelector("title");
  if (title) column.dataset.words = title.textContent;
  title?.remove();
  tip.hidden = !column?.dataset.words;
  if (tip.hidden) return;
  tip.textContent = column.dataset.words;
  const left = Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 12);
  tip.style.left = `${Math.max(12, left)}px`;
  tip.style.top = `${Math.max(8, event.clientY - tip.offsetHeight - 14)}px`;
}

document.addEventListener("pointermove", hint);
document.addEventListener("pointerdown", hint);
document.addEventListener("scroll", () => (tip.hidden = true), { passive: true });
