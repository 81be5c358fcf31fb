// Draws the PNG icons from public/icon.svg with the Chromium of this machine.
import { readFileSync, writeFileSync } from 'node:fs';
import { chromium } from 'playwright-core';

const svg = readFileSync(new URL('../public/icon.svg', import.meta.url), 'utf8');
const square = svg.replace('rx="15"', ''); // the system cuts a maskable icon to its own shape
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM || '/usr/bin/chromium' });
const draw = async (name, size, source, margin) => {
  const page = await browser.newPage({ viewport: { width: size, height: size } });
  const inner = size - 2 * margin;
  const uri = `data:image/svg+xml;base64,${Buffer.from(source).toString('base64')}`;
  await page.setContent(`<style>body{margin:0;background:${margin ? '#1f5f57' : 'transparent'}}img{display:block;margin:${margin}px}</style><img src="${uri}" width="${inner}" height="${inner}">`);
  await page.waitForFunction(() => document.images[0].complete);
  writeFileSync(new URL(`../public/${name}`, import.meta.url), await page.screenshot({ omitBackground: true }));
  await page.close();
};
await draw('icon-180.png', 180, square, 0);
await draw('icon-192.png', 192, svg, 0);
await draw('icon-512.png', 512, svg, 0);
await draw('icon-maskable-512.png', 512, square, 52);
await browser.close();
