// The sampling fields of the settings panel: what may be entered, and what it means.
import type { Key } from './ko';
import type { Settings } from './types';

export type NumberField =
  | 'temperature' | 'top_p' | 'top_k' | 'min_p' | 'max_tokens' | 'repetition_penalty' | 'presence_penalty'
  | 'frequency_penalty' | 'seed';

export interface SamplingField {
  name: NumberField;
  words: Key;
  hint?: Key;
  min: number;
  max: number;
  step: number;
}

export const samplingFields: readonly SamplingField[] = [
  { name: 'temperature', words: 'temperature', hint: 'temperatureHint', min: 0, max: 2, step: 0.1 },
  { name: 'top_p', words: 'topP', hint: 'topPHint', min: 0.01, max: 1, step: 0.01 },
  { name: 'top_k', words: 'topK', hint: 'topKHint', min: 1, max: 1000, step: 1 },
  { name: 'min_p', words: 'minP', hint: 'minPHint', min: 0, max: 1, step: 0.01 },
  { name: 'max_tokens', words: 'maxTokens', hint: 'maxTokensHint', min: 1, max: 1_000_000, step: 1 },
  { name: 'repetition_penalty', words: 'repetitionPenalty', min: 0.5, max: 2, step: 0.05 },
  { name: 'presence_penalty', words: 'presencePenalty', min: -2, max: 2, step: 0.1 },
  { name: 'frequency_penalty', words: 'frequencyPenalty', min: -2, max: 2, step: 0.1 },
  { name: 'seed', words: 'seed', hint: 'seedHint', min: 0, max: 2 ** 31 - 1, step: 1 },
];

// undefined: the field is empty; null: what stands in it is no such number.
export function parseField(field: SamplingField, text: string): number | undefined | null {
  if (text.trim() === '') return undefined;
  const value = Number(text);
  if (!Number.isFinite(value) || value < field.min || value > field.max) return null;
  if (field.step >= 1 && !Number.isInteger(value)) return null;
  return value;
}

export function withField(settings: Settings, name: NumberField, value: number | undefined): Settings {
  const next = { ...settings };
  if (value === undefined) delete next[name];
  else next[name] = value;
  return next;
}

const kMaxStopTexts = 4;

export function parseStopTexts(text: string): string[] {
  return text.split('\n').filter((line) => line !== '').slice(0, kMaxStopTexts);
}
