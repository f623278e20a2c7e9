// A pane of text: new tokens take the places of old ones, so that nothing flickers or jumps.
import { withSigns } from "../marks.js";
import { element, figure, marked, percent, say } from "./dom.js";

const GIVEN = 160; // characters of the prompt that are shown before the text
const STEPS = [0.25, 0.5, 1, 2, 3, 5]; // nats of log-probability from which underlines grow

/** The class of the underline of a token that steering makes likelier (u) or less likely (n). */
function underline(unsteered, steered) {
  const change = Math.log(steered / unsteered);
  const level = STEPS.filter((step) => Math.abs(change) >= step).length;
  return level ? `${change > 0 ? "u" : "n"}${level}` : "";
}

export class Pane {
  constructor(section) {
    this.section = section;
    this.written = section.querySelector(".written");
    this.given = section.querySelector(".given");
    this.about = section.querySelector(".about");
    this.broken = section.querySelector(".broken");
    this.tokens = [...this.written.querySelectorAll("bdi")];
    this.events = [];
    this.traits = null;
    this.fresh = 0;
  }

  /** A new text begins; the old one stays until its tokens are replaced. */
  begin() {
    this.section.setAttribute("aria-busy", "true");
    this.written.style.minHeight = `${this.written.offsetHeight}px`;
    for (const token of this.tokens) token.classList.add("stale");
    this.traits = null;
    this.fresh = 0;
  }

  /** The prompt that the text continues; only its end where it is long. */
  show(prompt) {
    const end = prompt.length > GIVEN ? `…${prompt.slice(-GIVEN)}` : prompt;
    const shown = withSigns(end);
    if (this.given.dataset.shown === shown) return;
    this.given.dataset.shown = shown;
    this.given.replaceChildren(...marked(shown, true));
  }

  put(event) {
    const { step } = event;
    const before = this.events[step];
    const shown = event.end ? "∎" : event.shown ?? event.text;
    let token = this.tokens[step];
    if (!token) {
      token = element("bdi");
      token.tabIndex = step ? -1 : 0;
      this.tokens[step] = token;
      this.written.append(token);
    }
    if (!before || before.shown !== shown) {
      token.replaceChildren(...marked(withSigns(shown), true));
      token.removeAttribute("title");
    }
    token.className = event.end ? "end" : shown ? "" : "part";
    this.events[step] = { ...event, shown };
    this.fresh = Math.max(this.fresh, step + 1);
  }

  /** The text is complete: what is left of the old one goes. */
  end() {
    for (const token of this.tokens.splice(this.fresh)) token.remove();
    this.events.length = this.fresh;
    if (this.loose) this.written.style.minHeight = "";
    this.loose = false;
    this.section.setAttribute("aria-busy", "false");
  }

  /** The text may have another height from now on. */
  settle() {
    this.loose = true;
  }

  setTraits(traits) {
    this.traits = traits;
    this.names = new Map(traits.names.map((name) => [name.index, name]));
    this.tokens.slice(0, this.fresh).forEach((token, at) => {
      const level = underline(traits.unsteered[at], traits.steered[at]);
      if (level) token.classList.add(level);
    });
    this.about.textContent = `perplexity ${figure(traits.perplexity)}`;
  }

  /** No text comes; the sentence says why, unless it stands elsewhere. */
  fail(sentence) {
    say(this.broken, sentence);
    this.section.setAttribute("aria-busy", "false");
  }

  /** Takes the sentence back. */
  mend() {
    say(this.broken);
  }

  /** What is known of a token: its probabilities and the features most active on it. */
  facts(token) {
    const at = this.tokens.indexOf(token);
    const event = this.events[at];
    if (!event || token.classList.contains("stale")) return null;
    const { traits } = this;
    const drawn = { [this.section.id]: percent(event.probability) };
    return {
      event,
      probabilities: traits
        ? { unsteered: percent(traits.unsteered[at]), steered: percent(traits.steered[at]) }
        : drawn,
      change: traits ? Math.log(traits.steered[at] / traits.unsteered[at]) : null,
      dictionary: traits?.dictionary,
      features: (traits?.features[at] ?? []).map((index, place) => ({
        name: this.names.get(index) ?? { index, label: "", raised: [] },
        activation: traits.activations[at][place],
      })),
    };
  }
}
