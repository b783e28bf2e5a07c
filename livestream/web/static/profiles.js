// What each profile's faults are, in the server's own sentences.

import { PROFILES_PATH } from "./contract.js";
import { byId, make, setText } from "./dom.js";

export class Profiles {
  /** `ours` is false when the stream comes from another server, whose profile nobody knows here. */
  constructor(ours, token) {
    this.ours = ours;
    this.token = token;
    this.shown = null;
  }

  /** Asked on every new connection: the server may have come back with another profile. */
  async load() {
    let data;
    try {
      const answer = await fetch(PROFILES_PATH, { cache: "no-store", headers: this.ours ? this.token.headers : {} });
      if (!answer.ok) return;
      data = await answer.json();
    } catch {
      return;
    }
    const changed = this.data?.running !== data.running;
    this.data = data;
    if (!changed) return;
    this.shown = data.running;
    byId("running").textContent = this.ours
      ? `this server runs ${data.running}`
      : "which one the other server runs is not known here";
    const choice = byId("profile-choice");
    for (const label of choice.querySelectorAll("label")) label.remove();
    choice.append(...data.profiles.map(({ name }) => this.#option(name)));
    this.#show();
  }

  #option(name) {
    const input = make("input", { type: "radio", name: "profile", value: name, checked: name === this.shown });
    input.addEventListener("change", () => {
      this.shown = name;
      this.#show();
    });
    const runs = this.ours && name === this.data.running;
    return make("label", {}, input, make("span", { textContent: name + (runs ? " · running" : "") }));
  }

  #show() {
    const { profiles, faults } = this.data;
    const present = new Set(profiles.find(({ name }) => name === this.shown).faults);
    setText(byId("profile-summary"), `${this.shown}: ${present.size || "none"} of the ${faults.length} faults.`);
    byId("faults").replaceChildren(...faults.map((fault) => row(fault, present.has(fault.name))));
  }
}

function row({ name, does, promised, shown_by: shownBy }, present) {
  return make("li", { dataset: { fault: name, present } },
    make("h3", {},
      make("code", { textContent: name }),
      make("span", { className: "verdict", textContent: present ? "as written" : "as promised" })),
    make("p", { className: "does", textContent: does }),
    make("p", { className: "promised" }, make("span", { textContent: "The report: " }), promised),
    make("p", { className: "quiet", textContent: shownBy }));
}
