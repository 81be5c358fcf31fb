// How much was read and written, and how fast.
import { t, type Language } from './i18n.svelte';
import type { Stats } from './types';

export interface Figures {
  short: string;
  detail: string;
}

// The first token is not part of the decoding time, so it is not part of the speed.
export function tokensPerSecond(stats: Stats): number | null {
  const tokens = (stats.completion_tokens ?? 0) - 1;
  if (tokens < 1 || !stats.decode_ms) return null;
  return (tokens * 1000) / stats.decode_ms;
}

export function figures(stats: Stats | null, language: Language): Figures | null {
  if (!stats || stats.completion_tokens === undefined) return null;
  const number = (value: number, digits = 0) => value.toLocaleString(language, { maximumFractionDigits: digits });
  const speed = tokensPerSecond(stats);
  const parts = [t('tokens', { count: number(stats.completion_tokens) })];
  if (speed !== null) parts.push(t('tokensPerSecond', { speed: number(speed, speed < 100 ? 1 : 0) }));
  if (stats.first_token_ms !== undefined) {
    parts.push(t('firstToken', { seconds: number(stats.first_token_ms / 1000, 2) }));
  }
  return {
    short: parts.join(' · '),
    detail: t('tokensHint', {
      prompt: number(stats.prompt_tokens ?? 0),
      cached: number(stats.cached_tokens ?? 0),
      completion: number(stats.completion_tokens),
    }),
  };
}
