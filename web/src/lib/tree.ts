// A conversation is a tree of messages; what is shown is the path from a root to the head.
import type { Message } from './types';

export function byId(messages: readonly Message[]): Map<string, Message> {
  return new Map(messages.map((message) => [message.id, message]));
}

// From the root to the message; empty for null or an unknown id. A cycle, which only damaged data
// could hold, ends the path.
export function pathTo(messages: readonly Message[], id: string | null): Message[] {
  const known = byId(messages);
  const path: Message[] = [];
  const seen = new Set<string>();
  for (let at = id; at !== null && !seen.has(at); ) {
    const message = known.get(at);
    if (!message) break;
    seen.add(at);
    path.push(message);
    at = message.parent_id;
  }
  return path.reverse();
}

// Messages with the same parent, oldest first.
export function childrenOf(messages: readonly Message[], parent: string | null): Message[] {
  return messages.filter((message) => message.parent_id === parent);
}

export interface Place {
  index: number; // among the siblings
  count: number;
  previous: string | null;
  next: string | null;
}

export function placeOf(messages: readonly Message[], message: Message): Place {
  const siblings = childrenOf(messages, message.parent_id);
  const index = siblings.findIndex((sibling) => sibling.id === message.id);
  return {
    index,
    count: siblings.length,
    previous: siblings[index - 1]?.id ?? null,
    next: siblings[index + 1]?.id ?? null,
  };
}

// Where a branch that is switched to ends: the newest child, its newest child, and so on.
export function newestLeaf(messages: readonly Message[], id: string): string {
  const newest = new Map<string, string>();
  for (const message of messages) {
    if (message.parent_id !== null) newest.set(message.parent_id, message.id);
  }
  const seen = new Set<string>();
  let leaf = id;
  for (let next = newest.get(leaf); next !== undefined && !seen.has(next); next = newest.get(leaf)) {
    seen.add(next);
    leaf = next;
  }
  return leaf;
}
