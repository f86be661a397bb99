// Messages to the user: a visible notice with what can be done about it, and short news for screen readers.

import { byId, h } from "./dom.js";

// `content`: text or an element; `actions`: [name, function] each.
export function notice(content, ...actions) {
  const element = byId("notice");
  const buttons = actions.map(([name, act]) => {
    const button = h("button", { type: "button", class: "primary" }, name);
    button.addEventListener("click", act);
    return button;
  });
  const close = h("button", { type: "button", class: "close", "aria-label": "Close" }, "×");
  close.addEventListener("click", hideNotice);
  element.replaceChildren(typeof content === "string" ? h("p", {}, content) : content, ...buttons, close);
  element.hidden = false;
}

export function hideNotice() {
  byId("notice").hidden = true;
}

let fading = 0;

// News for screen readers; `visible` shows it to all for a while.
export function say(text, visible = false) {
  const status = byId("status");
  status.textContent = text;
  status.classList.toggle("toast", visible);
  clearTimeout(fading);
  if (visible) fading = setTimeout(() => status.classList.remove("toast"), 2500);
}
