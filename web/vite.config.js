import { createHash } from 'node:crypto';
import { readFileSync, readdirSync } from 'node:fs';
import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vite';

// KaTeX offers each font in three formats; every browser that can run this page reads woff2.
const onlyWoff2 = {
  name: 'only-woff2',
  enforce: 'pre',
  transform(code, id) {
    if (!id.includes('katex') || !id.endsWith('.css')) return null;
    return code.replace(/,\s*url\([^)]*\.(?:woff|ttf)\)\s*format\(["'][a-z]+["']\)/g, '');
  },
};

// The service worker keeps the shell: it needs the names of the built files, and its bytes must
// change when one of them does.
const serviceWorker = {
  name: 'service-worker',
  apply: 'build',
  generateBundle(_options, bundle) {
    const built = Object.keys(bundle).filter((name) => /\.(?:js|css|html)$/.test(name));
    const copied = readdirSync('public').filter((name) => /\.(?:js|svg|webmanifest)$/.test(name));
    const hash = createHash('sha256');
    for (const name of built.sort()) hash.update(name).update(bundle[name].code ?? bundle[name].source);
    for (const name of copied.sort()) hash.update(name).update(readFileSync(`public/${name}`));
    const shell = ['./', ...[...built, ...copied].filter((name) => name !== 'index.html')];
    const source = readFileSync('src/service_worker.js', 'utf8')
      .replace('__SHELL__', JSON.stringify(shell))
      .replace('__VERSION__', hash.digest('hex').slice(0, 12));
    this.emitFile({ type: 'asset', fileName: 'sw.js', source });
  },
};

// What is built contains these; their licences ask to be passed on with it.
const licences = {
  name: 'licences',
  apply: 'build',
  generateBundle() {
    const parts = ['dompurify', 'highlight.js', 'katex', 'marked', 'svelte'].map((name) => {
      const { version, license } = JSON.parse(readFileSync(`node_modules/${name}/package.json`, 'utf8'));
      const file = readdirSync(`node_modules/${name}`).find((one) => /^licen[cs]e/i.test(one));
      return `${name} ${version} (${license})\n\n${readFileSync(`node_modules/${name}/${file}`, 'utf8').trim()}\n`;
    });
    this.emitFile({ type: 'asset', fileName: 'licences.txt', source: parts.join(`\n${'-'.repeat(79)}\n\n`) });
  },
};

export default defineConfig({
  base: './',
  plugins: [onlyWoff2, svelte(), licences, serviceWorker],
  build: {
    target: 'es2022',
    assetsInlineLimit: 0, // the content security policy allows no data: fonts
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
  test: { include: ['tests/unit/**/*.test.ts'], environment: 'jsdom' },
});
