// @ts-check

const LEAVE_PX = 3;
const TAP_PX = 10; // so far a finger moves that only taps
const REJOIN_PX = 24;
const JUMP_SHOWN_PX = 200;
const JUMP_HIDDEN_PX = 60;
const UPWARD = new Set(["ArrowUp", "PageUp", "Home"]);

/** Keeps a scrolling element at its end while text grows, until the reader scrolls up. */
export class ScrollFollower {
  isFollowing = true;
  #last = 0;
  #lowest = 0;
  #height = 0;
  #touch = 0;

  /** @param {HTMLElement} element what scrolls @param {HTMLElement} jump the button that leads to the end */
  constructor(element, jump) {
    this.element = element;
    this.jump = jump;
    element.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    // Wheel, finger and key speak before the scroll event does: text that comes in between must not pull the view back.
    element.addEventListener("wheel", ({ deltaY }) => deltaY < -LEAVE_PX && this.#leave(), { passive: true });
    element.addEventListener("touchstart", ({ touches }) => (this.#touch = topOf(touches)), { passive: true });
    element.addEventListener("touchmove", (event) => this.#dragged(event), { passive: true });
    element.addEventListener("keydown", (event) => this.#pressed(event));
    jump.addEventListener("click", () => this.toEnd(true));
  }

  get distance() {
    return this.element.scrollHeight - this.element.clientHeight - this.element.scrollTop;
  }

  /** Goes to the end and follows from there on. */
  toEnd(isSmooth = false) {
    this.isFollowing = true;
    const isAnimated = isSmooth && !matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.element.scrollTo({ top: this.element.scrollHeight, behavior: isAnimated ? "smooth" : "instant" });
    this.#settle();
  }

  /** Text has grown. */
  grown() {
    // The view may have moved before anything is heard of it: that is held against the height from before.
    if (this.element.scrollHeight >= this.#height) this.#look(this.#height);
    if (this.isFollowing) {
      this.element.scrollTop = this.element.scrollHeight;
      this.#settle();
    }
    this.#height = this.element.scrollHeight;
    this.#offerJump();
  }

  #settle() {
    this.#last = this.#lowest = this.element.scrollTop;
    this.#height = this.element.scrollHeight;
  }

  #leave() {
    if (this.element.scrollHeight > this.element.clientHeight + LEAVE_PX) this.isFollowing = false;
  }

  /** @param {TouchEvent} event */
  #dragged({ touches }) {
    if (topOf(touches) > this.#touch + TAP_PX) this.#leave();
  }

  /** @param {KeyboardEvent} event */
  #pressed({ key, shiftKey, target }) {
    const isUp = UPWARD.has(key) || (key === " " && shiftKey);
    if (isUp && !(/** @type {Element} */ (target).closest("input, select, textarea, .menu"))) this.#leave();
  }

  #scrolled() {
    this.#look(this.element.scrollHeight);
    this.#offerJump();
  }

  /** Whether the reader left the end, or came back to it.
   * @param {number} height of all there is to scroll
   */
  #look(height) {
    const { scrollTop, clientHeight } = this.element;
    const distance = height - clientHeight - scrollTop;
    // Text that shrank moves the view up too, but leaves it at the end.
    if (scrollTop < this.#lowest - LEAVE_PX && distance > LEAVE_PX) this.isFollowing = false;
    else if (scrollTop > this.#last && Math.abs(distance) <= REJOIN_PX) this.isFollowing = true;
    this.#last = scrollTop;
    if (this.isFollowing) this.#lowest = Math.max(scrollTop, distance <= LEAVE_PX ? 0 : this.#lowest);
  }

  #offerJump() {
    const distance = this.distance;
    if (distance > JUMP_SHOWN_PX) this.jump.hidden = false;
    else if (distance < JUMP_HIDDEN_PX) this.jump.hidden = true;
  }
}

/** @param {TouchList} touches */
function topOf(touches) {
  return touches[0]?.clientY ?? 0;
}
