// Server-sent events (WHATWG HTML, 9.2.6) out of chunks of text that may end anywhere. Only the
// data of an event matters here.
export class SseParser {
  #rest = '';
  #data: string[] = [];
  #started = false;

  // The data of every event that the chunk completes.
  push(chunk: string): string[] {
    let text = this.#rest + chunk;
    if (!this.#started && text.length > 0) {
      if (text.charCodeAt(0) === 0xfeff) text = text.slice(1);
      this.#started = true;
    }
    const events: string[] = [];
    let start = 0;
    for (;;) {
      let end = start;
      while (end < text.length && text[end] !== '\n' && text[end] !== '\r') ++end;
      // A carriage return at the very end may be half of a line break.
      if (end >= text.length || (text[end] === '\r' && end + 1 === text.length)) break;
      this.#line(text.slice(start, end), events);
      start = text[end] === '\r' && text[end + 1] === '\n' ? end + 2 : end + 1;
    }
    this.#rest = text.slice(start);
    return events;
  }

  #line(line: string, events: string[]): void {
    if (line === '') {
      if (this.#data.length > 0) events.push(this.#data.join('\n'));
      this.#data = [];
      return;
    }
    const colon = line.indexOf(':');
    const field = colon < 0 ? line : line.slice(0, colon);
    if (field !== 'data') return; // a comment, or a field that this page has no use for
    const value = colon < 0 ? '' : line.slice(colon + 1);
    this.#data.push(value.startsWith(' ') ? value.slice(1) : value);
  }
}

// Reads a response body to its end, event by event.
export async function* readEvents(body: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const reader = body.getReader();
  const decoder = new TextDecoder(); // keeps the bytes of a cut character for the next chunk
  const parser = new SseParser();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield* parser.push(decoder.decode(value, { stream: true }));
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
