// @ts-check
import "./chat-socket.js";
import "./reply-stream.js";
import "./chat-log.js";
import "./earlier-turns.js";
import "./message-composer.js";
import "./model-choice.js";
import "./composer-menu.js";
import "./context-meter.js";
import "./answer-now.js";
import "./copy-button.js";
import "./table-copy.js";
import "./reply-form.js";
import "./edit-button.js";
import "./vote-buttons.js";
import "./undo-bar.js";
import "./chat-sidebar.js";
import "./theme-switch.js";
import "./page-dialog.js";
import "./popover-menu.js";
import "./shared-address.js";
import "./setting-switch.js";
import "./hidden-tab.js";
import "./offline.js";
import "./trouble.js";
import "./search-box.js";
import "./chat-renaming.js";
import "./reading-mark.js";
import "./shortcuts.js";

if (navigator.maxTouchPoints) {
  import("./pages/viewport.js");
  import("./pages/drawer-swipe.js");
}
