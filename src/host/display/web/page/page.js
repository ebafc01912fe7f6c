// The page of `--display web`: the guest's screen by noVNC, and what is around it.

import RFB from './novnc/core/rfb.js';
import { Sound } from './sound.js';

// What the server closes the connection with when the guest has ended.
const GUEST_ENDED = 4000;
const WAITS = [500, 1000, 2000, 4000, 8000];
// Names of keys (X11 keysyms, and where they are on a keyboard).
const KEYS = {
  ctrl: [0xffe3, 'ControlLeft'], alt: [0xffe9, 'AltLeft'], shift: [0xffe1, 'ShiftLeft'], super: [0xffeb, 'MetaLeft'],
  del: [0xffff, 'Delete'], esc: [0xff1b, 'Escape'], tab: [0xff09, 'Tab'], print: [0xff61, 'PrintScreen'],
  f4: [0xffc1, 'F4'], backspace: [0xff08, 'Backspace'], w: [0x77, 'KeyW'], t: [0x74, 'KeyT'],
};
for (let n = 1; n <= 7; n++) KEYS[`f${n}`] = [0xffbd + n, `F${n}`];
const CHORDS = ['ctrl-alt-del', 'ctrl-alt-backspace', 'alt-tab', 'alt-f4', 'ctrl-w', 'ctrl-t', 'super', 'esc', 'print',
  ...[1, 2, 3, 4, 5, 6, 7].map(n => `ctrl-alt-f${n}`)];

const $ = id => document.getElementById(id);
let rfb = null;
let sound = null;
let tries = 0;
let timer = 0;

// The link has been used: it is of no use in the history.
history.replaceState(null, '', location.pathname);

function state(name, words, again = false) {
  document.body.dataset.state = name;
  $('words').textContent = words;
  $('again').hidden = !again;
}

function connect() {
  clearTimeout(timer);
  const scheme = location.protocol === 'https:' ? 'wss' : 'ws';
  const socket = new WebSocket(`${scheme}://${location.host}${location.pathname}screen`);
  // Before noVNC's own: it sees the close first.
  let code = 0;
  socket.addEventListener('close', event => { code = event.code; });
  rfb = new RFB($('screen'), socket, { shared: true });
  rfb.scaleViewport = true;
  rfb.resizeSession = $('resize').checked;
  rfb.background = 'transparent';
  rfb.addEventListener('connect', () => {
    tries = 0;
    state('connected', '');
    sound?.attach();
    rfb.focus();
    size();
  });
  rfb.addEventListener('desktopname', event => {
    $('name').textContent = document.title = event.detail.name;
  });
  rfb.addEventListener('clipboard', event => {
    $('text').value = event.detail.text;
    // Browsers allow it only to a page that has the focus; the panel has the text in any case.
    navigator.clipboard?.writeText(event.detail.text).catch(() => {});
  });
  rfb.addEventListener('securityfailure', event => state('failed', event.detail.reason || 'The screen is refused.', true));
  rfb.addEventListener('disconnect', () => lost(code));
}

async function lost(code) {
  rfb = null;
  sound?.detach();
  if (code === GUEST_ENDED) {
    state('ended', 'The guest has ended.', true);
    return;
  }
  let words = 'The connection is lost.';
  try {
    const answer = await fetch('alive', { cache: 'no-store' });
    if (answer.status === 403) {
      state('failed', 'This browser is no longer let in: open the link that kiln shows.');
      return;
    }
    if (answer.status === 503) words = 'All places in front of this screen are taken.';
  } catch {
    words = 'kiln does not answer: it may have ended.';
  }
  const wait = WAITS[Math.min(tries++, WAITS.length - 1)];
  state('lost', `${words} Trying again…`, true);
  timer = setTimeout(connect, wait);
}

function chord(text) {
  const keys = text.split('-').map(name => KEYS[name]);
  keys.forEach(([sym, code]) => rfb?.sendKey(sym, code, true));
  keys.reverse().forEach(([sym, code]) => rfb?.sendKey(sym, code, false));
}

function size() {
  const canvas = $('screen').querySelector('canvas');
  const text = canvas && rfb ? `${canvas.width} × ${canvas.height}` : '';
  if ($('size').textContent !== text) $('size').textContent = text;
}

new MutationObserver(size).observe($('screen'), { subtree: true, childList: true, attributeFilter: ['width', 'height'] });

for (const text of CHORDS) $('keys').add(new Option(text.split('-').map(k => k[0].toUpperCase() + k.slice(1)).join('+'), text));
$('keys').addEventListener('change', () => {
  if ($('keys').value) chord($('keys').value);
  $('keys').value = '';
  rfb?.focus();
});
$('again').addEventListener('click', () => {
  state('connecting', 'Connecting…');
  connect();
});
$('resize').addEventListener('change', () => {
  if (rfb) rfb.resizeSession = $('resize').checked;
  rfb?.focus();
});
$('full').addEventListener('click', async () => {
  await document.documentElement.requestFullscreen();
  // So that Escape and Alt+Tab are the guest's, where the browser can do that.
  await navigator.keyboard?.lock?.().catch(() => {});
  rfb?.focus();
});
$('clipboard').addEventListener('click', () => {
  const shown = $('panel').hidden;
  $('panel').hidden = !shown;
  $('clipboard').setAttribute('aria-expanded', shown);
  if (shown) $('text').focus(); else rfb?.focus();
});
$('send').addEventListener('click', () => rfb?.clipboardPasteFrom($('text').value));
$('copy').addEventListener('click', () => navigator.clipboard?.writeText($('text').value).catch(() => $('text').select()));
$('read').addEventListener('click', async () => {
  try {
    $('text').value = await navigator.clipboard.readText();
  } catch {
    $('text').focus();
  }
});

fetch('about').then(answer => answer.json()).then(about => {
  if (!about.sound) return;
  sound = new Sound($('sound'));
  if (document.body.dataset.state === 'connected') sound.attach();
}).catch(() => {});

connect();
