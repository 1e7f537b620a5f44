// @ts-check
import { post, signIn } from "./http.js";

/** A `[data-answer-now]` button ends the thinking of the reply it stands in. */
document.addEventListener("click", async (event) => {
  const button = /** @type {HTMLButtonElement | null} */ (
    /** @type {Element} */ (event.target).closest("[data-answer-now]")
  );
  const generation = button?.closest("article")?.querySelector("reply-stream")?.getAttribute("data-generation");
  if (!button || !generation) return;
  button.disabled = true;
  const response = await post(`/generations/${generation}/answer/`).catch(() => null);
  if (response?.status === 401) signIn();
  if (!response?.ok) button.disabled = false;
});
