// Text files that go with a message.
import type { Attachment } from './types';

export const kMaxFileBytes = 1 << 20;

export type FileProblem = 'too-large' | 'not-text';

// UTF-8, else UTF-16 with a byte order mark, else EUC-KR (the old Korean encoding); null when the
// bytes are no text.
export function decodeText(bytes: Uint8Array): string | null {
  const attempt = (label: string): string | null => {
    try {
      return new TextDecoder(label, { fatal: true }).decode(bytes);
    } catch {
      return null;
    }
  };
  const wide = (bytes[0] === 0xff && bytes[1] === 0xfe) || (bytes[0] === 0xfe && bytes[1] === 0xff);
  if (wide) return attempt(bytes[0] === 0xff ? 'utf-16le' : 'utf-16be');
  if (bytes.includes(0)) return null;
  return attempt('utf-8') ?? attempt('euc-kr');
}

export async function readAttachment(file: File): Promise<Attachment | FileProblem> {
  if (file.size > kMaxFileBytes) return 'too-large';
  const text = decodeText(new Uint8Array(await file.arrayBuffer()));
  return text === null ? 'not-text' : { name: file.name, text };
}

// What the model reads: each file in a fence longer than any in it, then the message.
export function withAttachments(content: string, attachments: readonly Attachment[]): string {
  const parts = attachments.map(({ name, text }) => {
    const longest = Math.max(2, ...[...text.matchAll(/`+/g)].map((run) => run[0].length));
    const fence = '`'.repeat(longest + 1);
    return `${name}\n${fence}\n${text.replace(/\n$/, '')}\n${fence}`;
  });
  return [...parts, content].filter((part) => part !== '').join('\n\n');
}
