import { describe, expect, it } from 'vitest';
import { readEvents, SseParser } from '../../src/lib/sse';

// Every way to cut the text into two and three chunks, and single characters.
function everyCut(text: string): string[][] {
  const cuts: string[][] = [[...text]];
  for (let i = 0; i <= text.length; ++i) {
    cuts.push([text.slice(0, i), text.slice(i)]);
    for (let j = i; j <= text.length; j += 3) cuts.push([text.slice(0, i), text.slice(i, j), text.slice(j)]);
  }
  return cuts;
}

function parse(chunks: string[]): string[] {
  const parser = new SseParser();
  return chunks.flatMap((chunk) => parser.push(chunk));
}

describe('SseParser', () => {
  it.each([
    ['data: a\n\ndata: b\n\n', ['a', 'b']],
    ['data: a\r\n\r\ndata: b\r\n\r\n', ['a', 'b']],
    ['data: a\rdata: b\r\r\n', ['a\nb']],
    [': ping\n\ndata: 한글\n\n', ['한글']],
    ['data:x\ndata: y\ndata\ndata:  z\n\n', ['x\ny\n\n z']],
    ['event: e\nid: 1\nretry: 5\ndata: a\n\n', ['a']],
    ['\ufeffdata: a\n\n', ['a']],
    ['data: a\n\ndata: not ended\n', ['a']],
    ['\n\n\n', []],
  ])('reads %j wherever it is cut', (text, expected) => {
    for (const chunks of everyCut(text)) expect(parse(chunks)).toEqual(expected);
  });
});

describe('readEvents', () => {
  it('puts together characters whose bytes came apart', async () => {
    const bytes = new TextEncoder().encode('data: 안녕 👋\n\ndata: [DONE]\n\n');
    for (const size of [1, 2, 3, 5]) {
      const body = new ReadableStream<Uint8Array>({
        start(controller) {
          for (let at = 0; at < bytes.length; at += size) controller.enqueue(bytes.slice(at, at + size));
          controller.close();
        },
      });
      const events: string[] = [];
      for await (const event of readEvents(body)) events.push(event);
      expect(events).toEqual(['안녕 👋', '[DONE]']);
    }
  });

  it('lets go of the stream when the reader stops', async () => {
    let cancelled = false;
    const body = new ReadableStream<Uint8Array>({
      pull: (controller) => controller.enqueue(new TextEncoder().encode('data: x\n\n')),
      cancel: () => void (cancelled = true),
    });
    for await (const event of readEvents(body)) if (event === 'x') break;
    expect(cancelled).toBe(true);
  });
});
