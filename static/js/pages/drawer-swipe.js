// @ts-check

const FAR_PX = 60;
const SIDEWAYS = ".code pre, .table-scroll, .formula, input, textarea";

/** @type {Touch | null} where the finger came down, if what is there does not scroll sideways itself */
let start = null;

// A finger along the text opens the drawer, and one against it closes it.
document.addEventListener(
  "touchstart",
  ({ touches, target }) => {
    const isAlone = touches.length === 1 && !document.querySelector("dialog[open]");
    start = isAlone && !(/** @type {Element} */ (target).closest(SIDEWAYS)) ? (touches[0] ?? null) : null;
  },
  { passive: true },
);

document.addEventListener(
  "touchend",
  ({ changedTouches }) => {
    const end = changedTouches[0];
    const toggle = /** @type {HTMLElement | null} */ (document.querySelector("main [data-toggle-sidebar]"));
    if (!start || !end || !toggle || matchMedia("(min-width: 48rem)").matches) return;
    const { dir, dataset } = document.documentElement;
    const forward = (end.clientX - start.clientX) * (dir === "rtl" ? -1 : 1);
    const isSideways = Math.abs(forward) > Math.max(FAR_PX, 2 * Math.abs(end.clientY - start.clientY));
    if (isSideways && forward > 0 !== Boolean(dataset.drawer)) toggle.click();
  },
  { passive: true },
);

export {};
