// A text cut at the places where it contains what was searched for, whatever the case.
export interface Part {
  text: string;
  hit: boolean;
}

export function splitAround(text: string, query: string): Part[] {
  if (query === '') return [{ text, hit: false }];
  const parts: Part[] = [];
  const wanted = new RegExp(query.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'), 'giu');
  let end = 0;
  for (const match of text.matchAll(wanted)) {
    if (match.index > end) parts.push({ text: text.slice(end, match.index), hit: false });
    parts.push({ text: match[0], hit: true });
    end = match.index + match[0].length;
  }
  if (end < text.length) parts.push({ text: text.slice(end), hit: false });
  return parts;
}
