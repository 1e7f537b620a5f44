// @ts-check

const KEYBOARD_PX = 80;

// Where the keyboard covers the page instead of shrinking it, the page ends above the keyboard.
window.visualViewport?.addEventListener("resize", ({ target }) => {
  const view = /** @type {VisualViewport} */ (target);
  const isCovered = view.scale === 1 && innerHeight - view.height > KEYBOARD_PX;
  document.documentElement.style.setProperty("--page-height", isCovered ? `${view.height}px` : "");
  if (isCovered) scrollTo(0, 0);
});

export {};
