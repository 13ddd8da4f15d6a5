// A page with pusher-js that shows what it hears, and a backend.

import type { Page } from '@playwright/test';
import type { App } from 'heliostat-testing';
import PusherServer from 'pusher';

const PUSHER_JS = require.resolve('pusher-js/dist/web/pusher.min.js');

/** Opens the page; its client is `client`, and its element `#heard` shows the last `message` of the channel. */
export async function open(page: Page, app: App, channel: string): Promise<void> {
  await page.setContent('<p id="heard">nothing</p>');
  await page.addScriptTag({ path: PUSHER_JS });
  await page.evaluate(
    ([key, options, name]) => {
      const { Pusher } = globalThis as any;
      const client = new Pusher(key, options);
      client.subscribe(name).bind('message', ({ text }: { text: string }) => {
        document.querySelector('#heard')!.textContent = text;
      });
    },
    [app.key, app.clientOptions, channel] as const,
  );
}

export function backend(app: App): PusherServer {
  return new PusherServer(app.serverOptions);
}
