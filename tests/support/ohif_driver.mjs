// A headless Chromium for ohif_browser.py: one JSON command a line on standard input, one JSON answer a line.
// usage: node ohif_driver.mjs PLAYWRIGHT_FOLDER CHROMIUM WIDTH HEIGHT DEADLINE_MS
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';

const [playwright, executablePath, width, height, deadline] = process.argv.slice(2);
const { chromium } = await import(pathToFileURL(`${playwright}/index.mjs`).href);
const browser = await chromium.launch({
  executablePath,
  timeout: Number(deadline),
  args: [
    '--no-sandbox',
    '--use-gl=angle',
    '--use-angle=swiftshader', // WebGL without a graphics card
    '--enable-unsafe-swiftshader',
    '--ignore-gpu-blocklist',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
    '--no-first-run',
    '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1', // no other machine is asked for anything
  ],
});
const page = await browser.newPage({ viewport: { width: Number(width), height: Number(height) } });
page.setDefaultTimeout(Number(deadline));
await page.addInitScript(() => localStorage.setItem('shownTours', '["basicViewerTour"]')); // it lies over the images
const complaints = [];
page.on('pageerror', error => complaints.push(String(error)));
page.on('requestfailed', request => complaints.push(`${request.url()}: ${request.failure()?.errorText}`));
page.on('response', answer => answer.status() >= 400 && complaints.push(`${answer.url()}: ${answer.status()}`));
page.on('console', message => message.type() === 'error' && complaints.push(message.text()));

const commands = {
  open: ({ url }) => page.goto(url, { waitUntil: 'domcontentloaded' }).then(() => null),
  evaluate: ({ script }) => page.evaluate(script),
  wait: ({ script }) => page.waitForFunction(script, null, { polling: 100 }).then(found => found.jsonValue()),
  click: ({ selector }) => page.locator(selector).first().click(),
  click_twice: ({ selector }) => page.locator(selector).first().dblclick(),
  picture: ({ path, clip }) => page.screenshot({ path, clip }).then(() => null),
  complaints: () => complaints,
};

for await (const line of createInterface({ input: process.stdin })) {
  const { command, ...options } = JSON.parse(line);
  try {
    console.log(JSON.stringify({ value: (await commands[command](options)) ?? null }));
  } catch (error) {
    console.log(JSON.stringify({ error: String(error) }));
  }
}
await browser.close();
