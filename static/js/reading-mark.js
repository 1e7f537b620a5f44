// @ts-check
import { post } from "./http.js";
import { socket } from "./socket.js";

/** Tells the server what its reader has seen: a conversation that is in front of them and not being written.
 * A temporary one hears when it is left.
 */
const chat = /** @type {import("./chat-log.js").ChatLog} */ (document.querySelector("chat-log"));

function read() {
  const isSeen = chat.conversation && !document.hidden && !chat.isBusy;
  if (isSeen) post(`/c/${chat.conversation}/reading/`).then(shown, () => null);
}

/** The hint that follows may come before the page's socket is there to hear it. */
function shown() {
  const item = document.querySelector("#chats [aria-current]")?.closest("li");
  if (item?.querySelector(".chats__state--unread")) document.body.dispatchEvent(new Event("chats:changed"));
}

chat.addEventListener("reply:end", () => setTimeout(read));
document.addEventListener("visibilitychange", read);
socket.addEventListener("reopen", read);
read();

window.addEventListener("pagehide", () => {
  if (!("temporary" in chat.dataset) || !chat.conversation) return;
  const token = /** @type {HTMLInputElement} */ (document.querySelector("[name=csrfmiddlewaretoken]")).value;
  navigator.sendBeacon(`/c/${chat.conversation}/closing/`, new URLSearchParams({ csrfmiddlewaretoken: token }));
});
