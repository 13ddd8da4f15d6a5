// What the broker's refusals mean for someone with three sliders in hand.

import { bytes } from './meter.js';

/**
 * @param {string} message  the text of the `pusher:error`
 * @param {number|null} frameBytes  size of the last frame
 * @param {{rate: HTMLInputElement, width: HTMLInputElement, quality: HTMLInputElement}} controls
 * @param {{label: string, apply: () => void} | null} instead  what helps where video is sent, which no slider changes
 */
export function explainRefusal(message, frameBytes, controls, instead = null) {
  const said = `The broker says: “${message}”.`;
  if (/held by another/i.test(message)) {
    return { title: 'Another page streams under this name', text: `${said} Stop that one, or wait for five seconds after it has gone.` };
  }
  if (instead && (/^Track message/.test(message) || /rate|exceed|maximum/i.test(message))) {
    return { title: 'The broker refused the video', text: said, fix: instead };
  }
  if (/rate/i.test(message)) {
    return {
      title: 'Too many frames per second',
      text: `${said} Lower the frame rate, or raise client_events_per_second in the broker's limits.`,
      fix: { label: 'Send fewer frames', apply: () => set(controls.rate, controls.rate.valueAsNumber * 0.7) },
    };
  }
  if (/exceed|too (big|large|long)|maximum/i.test(message)) {
    return {
      title: 'The frames are too big',
      text: `${said} A frame has about ${bytes(frameBytes ?? 0)} now. `
        + "Choose a smaller width or a lower quality, or raise client_event_payload_bytes (of binary messages: binary_message_bytes) in the broker's limits.",
      fix: {
        label: 'Make frames smaller',
        apply: () => {
          set(controls.width, controls.width.valueAsNumber * 0.7);
          set(controls.quality, controls.quality.valueAsNumber - 10);
        },
      },
    };
  }
  if (/enable this feature|client events/i.test(message)) {
    return {
      title: 'Client events are switched off',
      text: `${said} Set client_events = true for this app in the broker's configuration.`,
    };
  }
  return { title: 'The broker refused something', text: said };
}

/** Moves a slider, within its own bounds, and tells those who listen to it. */
function set(slider, value) {
  slider.value = Math.floor(value / slider.step) * slider.step;
  slider.dispatchEvent(new Event('input'));
}
