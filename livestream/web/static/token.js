// The token that a server may want. It stays in this page's memory: in no address, no storage and no log.

import { BEARER } from "./contract.js";
import { announce, byId } from "./dom.js";

/** What both a header and a subprotocol may hold. */
const TOKEN = /^[A-Za-z0-9._~+-]+$/;

/** From the address's fragment (`#token=…`), which no browser sends, or typed in when the server asks for one. */
export class Token {
  constructor(onGiven) {
    const given = new URLSearchParams(location.hash.slice(1)).get("token");
    this.value = TOKEN.test(given ?? "") ? given : null;
    // Neither the history nor a copied address shall have it.
    if (given !== null) history.replaceState(null, "", location.pathname + location.search);
    byId("token-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#take(byId("token").value.trim(), onGiven);
    });
  }

  /** For `new WebSocket`, which can send no header. */
  get subprotocols() {
    return this.value ? [BEARER, this.value] : [];
  }

  /** For `fetch`. */
  get headers() {
    return this.value ? { Authorization: `Bearer ${this.value}` } : {};
  }

  /** Whether the server answers that it wants a token, or a better one; shows where to type it. */
  async isWanted(url) {
    let wanted = false;
    try {
      wanted = (await fetch(url, { cache: "no-store", headers: this.headers })).status === 401;
    } catch {
      // Gone, or another server's answer that a page may not see.
    }
    byId("token-form").hidden = !wanted;
    return wanted;
  }

  #take(text, onGiven) {
    byId("token").value = "";
    if (!TOKEN.test(text)) {
      announce("A token has letters, digits and any of -._~+");
      return;
    }
    this.value = text;
    onGiven();
  }
}
