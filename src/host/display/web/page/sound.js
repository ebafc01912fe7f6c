// What the guest plays: 16 bits, two channels, 48000 frames a second, over a WebSocket of its own. Browsers let a page be heard only after a
// click or a key on it, so the socket is opened then; and while nothing is played the browser's sound is suspended.

import { Ring } from './speaker.js';

const RATE = 48000;
// Milliseconds.
const QUIET = 3000;
const AGAIN = 5000;
const GESTURES = ['pointerdown', 'pointerup', 'keydown'];

export class Sound {
  // The button switches it on and off.
  constructor(button) {
    this.button = button;
    this.wanted = remembered() !== 'off';
    this.allowed = false;
    this.attached = false;
    this.socket = null;
    this.context = null;
    // Takes samples, as an ArrayBuffer.
    this.speaker = null;
    this.gesture = event => { if (!button.contains(event.target)) this.begin(); };
    GESTURES.forEach(name => addEventListener(name, this.gesture, true));
    button.addEventListener('click', () => {
      this.wanted = !(this.wanted && this.allowed);
      remember(this.wanted ? 'on' : 'off');
      if (this.wanted) this.begin(); else this.close();
      this.show();
    });
    button.hidden = false;
    this.show();
  }

  show() {
    const on = this.wanted && this.allowed;
    this.button.setAttribute('aria-pressed', on);
    this.button.title = on ? 'Do not play what the guest plays' : 'Play what the guest plays';
  }

  // There is a guest, from now on or no more.
  attach() {
    this.attached = true;
    this.open();
  }

  detach() {
    this.attached = false;
    this.close();
  }

  // After a click or a key: the browser may let us be heard.
  async begin() {
    if (!this.wanted) return;
    this.context ??= new AudioContext({ sampleRate: RATE, latencyHint: 'interactive' });
    this.speaker ??= this.make().catch(error => {
      // The next click tries again.
      this.speaker = null;
      throw error;
    });
    await Promise.all([this.context.resume(), this.speaker]);
    this.allowed = true;
    GESTURES.forEach(name => removeEventListener(name, this.gesture, true));
    this.show();
    this.open();
  }

  async make() {
    const { context } = this;
    if (context.audioWorklet) {
      await context.audioWorklet.addModule('speaker.js');
      const node = new AudioWorkletNode(context, 'speaker', { numberOfInputs: 0, outputChannelCount: [2] });
      node.connect(context.destination);
      return data => node.port.postMessage(data, [data]);
    }
    // Browsers have worklets only where they take the connection for a safe one.
    const ring = new Ring();
    const node = context.createScriptProcessor(2048, 0, 2);
    node.onaudioprocess = ({ outputBuffer: out }) => ring.take(out.getChannelData(0), out.getChannelData(1));
    node.connect(context.destination);
    this.kept = node;
    return data => ring.put(new Int16Array(data));
  }

  open() {
    if (this.socket || !this.wanted || !this.allowed || !this.attached) return;
    const scheme = location.protocol === 'https:' ? 'wss' : 'ws';
    const socket = new WebSocket(`${scheme}://${location.host}${location.pathname}sound`);
    socket.binaryType = 'arraybuffer';
    const had = new Uint32Array(1);
    socket.onmessage = ({ data }) => {
      had[0] += data.byteLength / 4;
      socket.send(had);
      this.play(data);
    };
    socket.onclose = () => {
      if (this.socket !== socket) return;
      this.close();
      this.timer = setTimeout(() => this.open(), AGAIN);
    };
    this.socket = socket;
    this.rest();
  }

  async play(data) {
    this.rest();
    if (this.context.state !== 'running') this.context.resume();
    (await this.speaker)(data);
  }

  // Suspends the browser's sound when nothing has come for a while.
  rest() {
    clearTimeout(this.quiet);
    this.quiet = setTimeout(() => this.context.suspend(), QUIET);
  }

  close() {
    clearTimeout(this.timer);
    const { socket } = this;
    this.socket = null;
    socket?.close();
  }
}

// A browser may keep nothing of a page.
function remembered() {
  try {
    return localStorage.getItem('sound');
  } catch {
    return null;
  }
}

function remember(value) {
  try {
    localStorage.setItem('sound', value);
  } catch {}
}
