// Everything that pages do beyond documents and htmx. Each module listens on the document once.
import "./shortcuts.js";
import "./contexts.js";
import "./explained/tokens.js";
import "./explained/cards.js";
import "./share/copy.js";
import "./live/pending.js";
import "./labels.js";
import "./share/menu.js";
