import { describe, expect, it } from 'vitest';
import { en } from '../../src/lib/en';
import { fill } from '../../src/lib/i18n.svelte';
import { ko } from '../../src/lib/ko';

const sources = import.meta.glob('../../src/**/*.{svelte,ts}', { query: '?raw', import: 'default', eager: true });
const code = Object.entries(sources)
  .filter(([path]) => !/\/(?:ko|en)\.ts$/.test(path))
  .map(([, text]) => text as string)
  .join('\n');

const holes = (text: string) => [...text.matchAll(/\{(\w+)\}/g)].map((match) => match[1]).sort();

describe('words', () => {
  it('are the same keys in both languages, with the same holes', () => {
    expect(Object.keys(en).sort()).toEqual(Object.keys(ko).sort());
    for (const key of Object.keys(ko) as (keyof typeof ko)[]) {
      expect(holes(en[key]), key).toEqual(holes(ko[key]));
      expect(en[key], key).not.toMatch(/[ㄱ-힣]/);
      expect(en[key].trim(), key).not.toBe('');
      expect(ko[key].trim(), key).not.toBe('');
    }
  });
  it('are all used', () => {
    for (const key of Object.keys(ko)) {
      expect(new RegExp(`['"]${key}['"]`).test(code), `${key} is used nowhere`).toBe(true);
    }
  });
  it('are the only ones: components hold no Korean text of their own', () => {
    for (const [path, text] of Object.entries(sources)) {
      if (/\/(?:ko|i18n\.svelte)\.ts$/.test(path)) continue;
      const without = (text as string).replaceAll('한국어', '').replace(/\/\/.*$/gm, '');
      expect(/[가-힣]/.test(without), path).toBe(false);
    }
  });
  it('fill their holes', () => {
    expect(fill('{a} {b} {a}', { a: 1, b: '{a}' })).toBe('1 {a} 1');
    expect(fill('{c}', {})).toBe('{c}');
  });
});
