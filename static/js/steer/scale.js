// Strengths along a slider and below the curves: fine around 0, coarse outside.
// Half of the way from 0 to an end leads to the maximum, the other half to ten times as much.

const FINE = 40; // steps from 0 to the maximum
const COARSE = 36; // from there to the strongest
const STRONGEST = 10;

/** Steps from 0 to an end of a slider. */
export const STEPS = FINE + COARSE;

const clamped = (value, most) => Math.max(-most, Math.min(most, value || 0));

/** The strength at a step, which may lie between two. */
export function strengthAt(step) {
  const size = Math.abs(step);
  const strength = size <= FINE ? size / FINE : 1 + ((size - FINE) * (STRONGEST - 1)) / COARSE;
  return Math.sign(step) * Number(strength.toFixed(3));
}

/** The step of a strength, between two where it falls there; the last for all beyond. */
export function stepOf(strength) {
  const size = Math.abs(clamped(strength, STRONGEST));
  const step = size <= 1 ? size * FINE : FINE + ((size - 1) * COARSE) / (STRONGEST - 1);
  return Math.sign(strength || 0) * step;
}

/** How far along the way from the lowest strength to the highest one lies, from 0 to 1. */
export const shareOf = (strength) => (1 + stepOf(strength) / STEPS) / 2;
