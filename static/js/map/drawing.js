// The points, drawn by the graphics processor; while the map moves, no more of them than it can.

import * as twgl from "../../vendor/twgl.js";

const VERTEX = `
attribute vec2 place;
attribute float level;
uniform vec3 view;
uniform float size;
varying float shade;
void main() {
  bool hidden = level > 0.998 || place.x > 0.99999;
  vec2 at = 2.0 * (place * (65535.0 / 65534.0) - view.xy) / view.z;
  gl_Position = hidden ? vec4(2.0, 2.0, 0.0, 1.0) : vec4(at.x, -at.y, 0.0, 1.0);
  gl_PointSize = level > 0.0 ? size : max(1.0, 0.8 * size);
  shade = level;
}`;
const FRAGMENT = `
precision mediump float;
uniform sampler2D colours;
uniform float alpha;
uniform bool round;
varying float shade;
void main() {
  if (round && distance(gl_PointCoord, vec2(0.5)) > 0.5) discard;
  gl_FragColor = vec4(texture2D(colours, vec2((255.0 * shade + 0.5) / 256.0, 0.5)).rgb, alpha);
}`;
const [SMALLEST, LARGEST] = [1.4, 11]; // points, in CSS pixels
const ROUND_FROM = 3;
const MANY = 200_000; // that overlap enough to be seen through
const [SLOW, FAST] = [45, 20]; // milliseconds that a frame is waited for
const QUICK_FRAMES = 6; // after so many quick ones in a row more points are tried
const FEW = 50_000; // points that any machine draws while the map moves
const MOST_STEPS = 63; // a vertex attribute's stride is at most 255 bytes

export class Drawing {
  #gl;
  #program;
  #points = null;
  #marks = null;
  #colours = null;
  #step = 1;
  #least = 1;
  #quick = 0;
  #queued = false;

  /** On a canvas; null: this browser draws no WebGL. */
  static on(canvas) {
    const options = { antialias: false, depth: false };
    const gl = canvas.getContext("webgl2", options) ?? canvas.getContext("webgl", options);
    return gl && new Drawing(gl);
  }

  constructor(gl) {
    this.#gl = gl;
    this.#program = twgl.createProgramInfo(gl, [VERTEX, FRAGMENT]);
    gl.enable(gl.BLEND);
    gl.blendFuncSeparate(gl.SRC_ALPHA, gl.ONE_MINUS_SRC_ALPHA, gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
  }

  /** How many points stand for one while the map moves. */
  get step() {
    return this.#step;
  }

  #buffers(places, levels) {
    return twgl.createBufferInfoFromArrays(this.#gl, {
      place: { numComponents: 2, data: places, normalize: true },
      level: { numComponents: 1, data: levels, normalize: true },
    });
  }

  /** The points, with a level for each. */
  show(places, levels) {
    if (this.#points) twgl.setAttribInfoBufferFromArray(this.#gl, this.#points.attribs.level, levels);
    else {
      this.#points = this.#buffers(places, levels);
      this.#step = Math.min(MOST_STEPS, Math.ceil(this.#points.numElements / FEW));
    }
  }

  /** A few that are drawn larger, above the others. */
  mark(places) {
    this.#marks = places.length ? this.#buffers(places, new Uint8Array(places.length / 2).fill(254)) : null;
  }

  /** The colours of the levels, 256 times red, green and blue from 0 to 255. */
  paint(colours) {
    if (this.#colours) this.#gl.deleteTexture(this.#colours);
    const { NEAREST, CLAMP_TO_EDGE, RGB } = this.#gl;
    this.#colours = twgl.createTexture(this.#gl, {
      src: colours, width: 256, height: 1, format: RGB, internalFormat: RGB, minMag: NEAREST, wrap: CLAMP_TO_EDGE, auto: false,
    });
  }

  /** Draw in the next frame what `how` says by then; `then` follows. Asked for twice, it is once. */
  soon(how, then) {
    if (this.#queued) return;
    this.#queued = true;
    const asked = performance.now();
    requestAnimationFrame(() => {
      this.#queued = false;
      const { view, moving } = how();
      this.draw(view, moving, performance.now() - asked);
      then();
    });
  }

  /**
   * Draw a part of the map, `{x, y, width}`; `moving`: it is one of many frames; `waited`: how long
   * the page waited for this one, in milliseconds.
   */
  draw(view, moving, waited) {
    const gl = this.#gl;
    if (!this.#points || !this.#colours) return;
    if (moving && this.#points.numElements > FEW) this.#adapt(waited);
    twgl.resizeCanvasToDisplaySize(gl.canvas, Math.min(devicePixelRatio, 2));
    gl.viewport(0, 0, gl.canvas.width, gl.canvas.height);
    gl.clear(gl.COLOR_BUFFER_BIT);
    gl.useProgram(this.#program.program);
    const ratio = gl.canvas.width / gl.canvas.clientWidth;
    const count = this.#points.numElements;
    const own = (0.55 * gl.canvas.clientWidth) / Math.sqrt(count) / Math.sqrt(view.width);
    const size = Math.min(LARGEST, Math.max(SMALLEST, own));
    this.#some(this.#points, moving ? this.#step : 1, {
      view: [view.x, view.y, view.width], size: size * ratio, round: size >= ROUND_FROM,
      alpha: count * Math.min(1, view.width ** 2) > MANY ? 0.6 : 0.85, colours: this.#colours,
    });
    if (this.#marks) this.#some(this.#marks, 1, { size: Math.max(6, size * 1.3) * ratio, round: true, alpha: 1 });
  }

  /** Every `step`-th point: the stride skips the others. */
  #some(points, step, uniforms) {
    const { place, level } = points.attribs;
    [place.stride, level.stride] = [4 * step, step];
    twgl.setBuffersAndAttributes(this.#gl, this.#program, points);
    twgl.setUniforms(this.#program, uniforms);
    twgl.drawBufferInfo(this.#gl, points, this.#gl.POINTS, Math.ceil(points.numElements / step));
  }

  /** As many points as keep frames fast: what was too many once is not tried again. */
  #adapt(waited) {
    this.#quick = waited < FAST ? this.#quick + 1 : 0;
    if (waited > SLOW && this.#step < MOST_STEPS) {
      this.#least = Math.min(MOST_STEPS, this.#step + 1);
      this.#step = Math.min(MOST_STEPS, Math.ceil((this.#step * waited) / FAST));
    } else if (this.#quick > QUICK_FRAMES && this.#step > this.#least) {
      this.#step = Math.max(this.#least, Math.floor(this.#step / 2));
      this.#quick = 0;
    }
  }
}
