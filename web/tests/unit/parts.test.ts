import { describe, expect, it } from 'vitest';
import { completionRequest, parseChunk } from '../../src/lib/completion';
import { byDay } from '../../src/lib/days';
import { fileName } from '../../src/lib/export_markdown';
import { tokensPerSecond } from '../../src/lib/figures';
import { decodeText, withAttachments } from '../../src/lib/files';
import { parseField, parseStopTexts, samplingFields, withField } from '../../src/lib/sampling';
import { splitAround } from '../../src/lib/snippet';
import type { Message } from '../../src/lib/types';

const message = (role: 'user' | 'assistant', content: string, more: Partial<Message> = {}): Message => ({
  id: content, parent_id: null, role, content, reasoning_content: '', attachments: [], model: '', finish_reason: 'stop',
  created_ms: 0, stats: null, ...more,
});

describe('completionRequest', () => {
  const conversation = { system_prompt: '짧게', settings: { thinking: true, temperature: 0.5, stop: ['끝'] } };
  it('holds what was set, and no more', () => {
    const request = completionRequest(conversation, [message('user', 'q')], 'm');
    expect(request).toEqual({
      model: 'm', temperature: 0.5, stop: ['끝'], stream: true, stream_options: { include_usage: true },
      chat_template_kwargs: { enable_thinking: true },
      messages: [{ role: 'system', content: '짧게' }, { role: 'user', content: 'q' }],
    });
  });
  it('sends no thoughts of earlier answers', () => {
    const path = [message('user', 'q'), message('assistant', 'a', { reasoning_content: 'r' }), message('user', 'q2')];
    expect(completionRequest(conversation, path, 'm').messages[2]).toEqual({ role: 'assistant', content: 'a' });
  });
  it('asks for the rest of an answer', () => {
    const path = [message('user', 'q'), message('assistant', 'a', { reasoning_content: 'r' })];
    const request = completionRequest({ system_prompt: '', settings: {} }, path, '');
    expect(request.continue_final_message).toBe(true);
    expect(request.add_generation_prompt).toBe(false);
    expect(request.messages.at(-1)).toEqual({ role: 'assistant', content: 'a', reasoning_content: 'r' });
    expect('model' in request).toBe(false);
  });
});

describe('parseChunk', () => {
  it('reads pieces, the end and the usage', () => {
    expect(parseChunk('{"choices":[{"delta":{"content":"a"}}]}')).toEqual({
      content: 'a', reasoning: '', finish_reason: null, usage: null,
    });
    expect(parseChunk('{"choices":[{"delta":{"reasoning_content":"r","content":null},"finish_reason":"length"}]}')).toEqual({
      content: '', reasoning: 'r', finish_reason: 'length', usage: null,
    });
    expect(parseChunk('{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}').usage).toEqual({
      prompt_tokens: 3, completion_tokens: 2, cached_tokens: 0,
    });
  });
  it('throws what the server says', () => {
    expect(() => parseChunk('{"error":{"message":"out of blocks"}}')).toThrow('out of blocks');
  });
});

describe('files', () => {
  it('are read as UTF-8, UTF-16 or EUC-KR', () => {
    expect(decodeText(new TextEncoder().encode('한글'))).toBe('한글');
    expect(decodeText(new Uint8Array([0xc7, 0xd1, 0xb1, 0xdb]))).toBe('한글');
    expect(decodeText(new Uint8Array([0xff, 0xfe, 0x5c, 0xd5]))).toBe('한');
    expect(decodeText(new Uint8Array([0x89, 0x50, 0x4e, 0x47, 0, 0]))).toBe(null);
    expect(decodeText(new Uint8Array([0xff, 0xff, 0xff]))).toBe(null);
    expect(decodeText(new Uint8Array())).toBe('');
  });
  it('stand in fences that their content cannot close', () => {
    const text = withAttachments('요약해 줘', [{ name: 'a.md', text: '```\ncode\n````\n' }]);
    expect(text).toBe('a.md\n`````\n```\ncode\n````\n`````\n\n요약해 줘');
    expect(withAttachments('', [{ name: 'a', text: 'x' }])).toBe('a\n```\nx\n```');
    expect(withAttachments('x', [])).toBe('x');
  });
});

describe('sampling', () => {
  const field = (name: string) => samplingFields.find((one) => one.name === name)!;
  it('takes numbers within bounds', () => {
    expect(parseField(field('temperature'), ' 0.7 ')).toBe(0.7);
    expect(parseField(field('temperature'), '')).toBe(undefined);
    expect(parseField(field('temperature'), '2.1')).toBe(null);
    expect(parseField(field('temperature'), 'warm')).toBe(null);
    expect(parseField(field('top_k'), '1.5')).toBe(null);
    expect(parseField(field('top_k'), '40')).toBe(40);
  });
  it('forgets what is emptied', () => {
    expect(withField({ top_k: 3, seed: 1 }, 'top_k', undefined)).toEqual({ seed: 1 });
    expect(withField({}, 'top_k', 5)).toEqual({ top_k: 5 });
  });
  it('takes up to four stop texts', () => {
    expect(parseStopTexts('a\n\n b\nc\nd\ne')).toEqual(['a', ' b', 'c', 'd']);
  });
});

describe('small things', () => {
  it('groups conversations by day', () => {
    const now = new Date(2026, 10, 27, 0, 30);
    const at = (id: string, ...when: [number, number, number, number]) => ({
      id, title: '', created_ms: 0, updated_ms: new Date(...when).getTime(),
    });
    const groups = byDay([at('a', 2026, 10, 27, 0), at('b', 2026, 10, 26, 23), at('c', 2026, 10, 20, 0), at('d', 2025, 0, 1, 0)], now);
    expect(groups.map((group) => [group.words, group.conversations.map(({ id }) => id).join()])).toEqual([
      ['today', 'a'], ['yesterday', 'b'], ['lastWeek', 'c'], ['earlier', 'd'],
    ]);
  });
  it('counts speed without the first token', () => {
    expect(tokensPerSecond({ completion_tokens: 11, decode_ms: 500 })).toBe(20);
    expect(tokensPerSecond({ completion_tokens: 1, decode_ms: 0 })).toBe(null);
    expect(tokensPerSecond({})).toBe(null);
  });
  it('marks what was searched for', () => {
    expect(splitAround('서울과 Seoul', 'seoul')).toEqual([{ text: '서울과 ', hit: false }, { text: 'Seoul', hit: true }]);
    expect(splitAround('a.b', '.')).toEqual([{ text: 'a', hit: false }, { text: '.', hit: true }, { text: 'b', hit: false }]);
    expect(splitAround('x', '')).toEqual([{ text: 'x', hit: false }]);
  });
  it('makes file names', () => {
    expect(fileName('a/b: "c"?', 'md')).toBe('a b   c.md');
    expect(fileName('', 'md')).toBe('axk1.md');
  });
});
