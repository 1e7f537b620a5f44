// @ts-check

const GAP_PX = 4;

/** A `.menu` popover appears beside the button that opened it, inside the window. */
document.addEventListener(
  "toggle",
  (event) => {
    const menu = /** @type {HTMLElement} */ (event.target);
    if (!menu.matches(".menu:popover-open")) return;
    const button = document.querySelector(`[popovertarget="${menu.id}"]`)?.getBoundingClientRect();
    if (!button) return;
    const isRoomBelow = button.bottom + GAP_PX + menu.offsetHeight < innerHeight;
    const top = isRoomBelow ? button.bottom + GAP_PX : button.top - GAP_PX - menu.offsetHeight;
    const isRightToLeft = document.documentElement.dir === "rtl";
    const wished = isRightToLeft ? button.right - menu.offsetWidth : button.left;
    const left = Math.max(2 * GAP_PX, Math.min(wished, innerWidth - menu.offsetWidth - 2 * GAP_PX));
    Object.assign(menu.style, { inset: "auto", top: `${Math.max(GAP_PX, top)}px`, left: `${left}px` });
  },
  true,
);

document.addEventListener("click", (event) => {
  const item = /** @type {Element} */ (event.target).closest(".menu__item");
  /** @type {HTMLElement | null | undefined} */ (item?.closest(".menu:popover-open"))?.hidePopover();
});
