// What is to be played next, and the worklet that plays it. A page that may have no worklet uses the class alone.

// Frames of silence in front: what comes may be that much too late without a gap.
const LEAD = 2880;
// What is more than this is late, and would stay late.
const MOST = LEAD + 14400;
// Frames after which one sound has become another.
const BLEND = 128;
// Frames after which it is known how much is never needed.
const LOOK = 96000;

export class Ring {
  constructor() {
    // Two channels side by side.
    this.samples = new Float32Array(2 * 48000);
    this.size = 48000;
    this.first = 0;
    this.count = 0;
    this.silence = 0;
    this.playing = false;
    this.loudness = 0;
    this.last = [0, 0];
    this.least = MOST;
    this.looked = 0;
  }

  at(frame) {
    return 2 * ((this.first + frame) % this.size);
  }

  // Frames of two samples of 16 bits.
  put(frames) {
    frames = frames.subarray(-2 * MOST);
    const count = frames.length >> 1;
    for (let n = 0; n < count; n++) {
      const to = this.at(this.count++);
      this.samples[to] = frames[2 * n] / 32768;
      this.samples[to + 1] = frames[2 * n + 1] / 32768;
    }
    if (!this.playing) {
      this.playing = true;
      this.silence = LEAD;
      this.loudness = 0;
      this.forget();
    }
    if (this.count > MOST) this.drop(this.count - Math.max(LEAD, count));
  }

  // Leaves frames out; those around them become each other.
  drop(frames) {
    frames = Math.min(frames, this.count);
    const blend = Math.min(BLEND, this.count - frames, frames);
    for (let n = 0; n < 2 * blend; n++) {
      const part = (n >> 1) / blend;
      const to = this.at(frames + (n >> 1)) + (n & 1);
      this.samples[to] = part * this.samples[to] + (1 - part) * this.samples[this.at(n >> 1) + (n & 1)];
    }
    this.first = (this.first + frames) % this.size;
    this.count -= frames;
    this.forget();
  }

  forget() {
    this.least = MOST;
    this.looked = 0;
  }

  take(left, right) {
    for (let n = 0; n < left.length; n++) {
      if (this.silence > 0 || this.count === 0) {
        if (this.silence > 0) this.silence--;
        else this.playing = false;
        // What broke off fades away.
        this.last = [this.last[0] * 0.97, this.last[1] * 0.97];
        [left[n], right[n]] = this.last;
        continue;
      }
      const from = this.at(0);
      this.loudness = Math.min(1, this.loudness + 1 / BLEND);
      this.last = [this.samples[from] * this.loudness, this.samples[from + 1] * this.loudness];
      [left[n], right[n]] = this.last;
      this.first = (this.first + 1) % this.size;
      this.count--;
    }
    if (this.silence > 0 || !this.playing) return;
    this.least = Math.min(this.least, this.count);
    this.looked += left.length;
    if (this.looked < LOOK) return;
    // That much more than the lead was never needed.
    if (this.least > 2 * LEAD) this.drop(this.least - LEAD);
    this.forget();
  }
}

if (globalThis.AudioWorkletProcessor) {
  registerProcessor('speaker', class extends AudioWorkletProcessor {
    constructor() {
      super();
      this.ring = new Ring();
      this.port.onmessage = event => this.ring.put(new Int16Array(event.data));
    }

    process(_, [[left, right]]) {
      this.ring.take(left, right ?? left);
      return true;
    }
  });
}
