// The words of the page. t() reads reactive state: what uses it changes with the language.
import { en } from './en';
import { ko, type Key } from './ko';
import { stored, store } from './storage';

export type Language = 'ko' | 'en';

const words: Record<Language, Record<Key, string>> = { ko, en };

function preferred(): Language {
  const kept = stored('language');
  if (kept === 'ko' || kept === 'en') return kept;
  return navigator.language.toLowerCase().startsWith('ko') ? 'ko' : 'en';
}

let current = $state<Language>(preferred());

export function language(): Language {
  return current;
}

export function setLanguage(next: Language): void {
  current = next;
  store('language', next);
}

export function fill(text: string, values: Record<string, string | number> = {}): string {
  return text.replace(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole));
}

export function t(key: Key, values?: Record<string, string | number>): string {
  return fill(words[current][key], values);
}
