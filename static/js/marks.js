// The signs that stand for white space, the same as in app/rendering/tokens.py.

const SIGNS = { " ": "␣", "\n": "⏎", "\t": "⇥", "\r": "␍" };

export const SPACE = SIGNS[" "];
export const NEWLINE = SIGNS["\n"];

const MEANT = Object.fromEntries(Object.entries(SIGNS).map(([character, sign]) => [sign, character]));

/** A text with its line breaks and tabs as signs; spaces stay. */
export const withSigns = (text) => text.replace(/[\n\t\r]/g, (character) => SIGNS[character]);

/** The character that a sign stands for; undefined for anything else. */
export const meantBy = (sign) => MEANT[sign];

const EVERY = new RegExp(`([${Object.values(SIGNS).join("")}])`);

/** A text cut before and after each sign. */
export const cutAtSigns = (text) => text.split(EVERY).filter(Boolean);
