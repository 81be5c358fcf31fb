// Conversations grouped by the day of their last change, in the reader's time zone.
import type { Key } from './ko';
import type { ConversationSummary } from './types';

export interface Group {
  words: Key;
  conversations: ConversationSummary[];
}

export function byDay(conversations: readonly ConversationSummary[], now: Date): Group[] {
  const midnight = (daysBack: number) =>
    new Date(now.getFullYear(), now.getMonth(), now.getDate() - daysBack).getTime();
  const starts: [Key, number][] = [
    ['today', midnight(0)],
    ['yesterday', midnight(1)],
    ['lastWeek', midnight(7)],
    ['earlier', -Infinity],
  ];
  const groups: Group[] = starts.map(([words]) => ({ words, conversations: [] }));
  for (const conversation of conversations) {
    const at = starts.findIndex(([, start]) => conversation.updated_ms >= start);
    groups[at].conversations.push(conversation);
  }
  return groups.filter((group) => group.conversations.length > 0);
}
