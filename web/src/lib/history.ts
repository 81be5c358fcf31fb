// Where conversations are kept: on the server, or, when it keeps none, in this page.
import { ApiError, request, requestJson } from './api';
import { pathTo } from './tree';
import type { Conversation, ConversationSummary, Message, NewMessage, SearchResult } from './types';

export type ConversationPatch = Partial<
  Pick<Conversation, 'title' | 'system_prompt' | 'settings' | 'head'>
>;
export type MessagePatch = Partial<
  Pick<Message, 'content' | 'reasoning_content' | 'finish_reason' | 'stats' | 'model'>
>;

export interface Listing {
  conversations: ConversationSummary[];
  next: string | null; // what to give to list() for the rest
}

export interface HistoryStore {
  readonly kept: boolean; // beyond the life of the page
  list(after: string | null): Promise<Listing>;
  get(id: string): Promise<Conversation>;
  create(first: ConversationPatch): Promise<Conversation>;
  fork(id: string, messageId: string, title: string): Promise<Conversation>;
  change(id: string, patch: ConversationPatch): Promise<void>;
  remove(id: string): Promise<void>;
  addMessage(id: string, message: NewMessage): Promise<Message>;
  // leaving: the page is being closed; the request must outlive it.
  changeMessage(id: string, messageId: string, patch: MessagePatch, leaving?: boolean): Promise<void>;
  search(query: string, signal?: AbortSignal): Promise<SearchResult[]>;
  exportAll(): Promise<Blob>;
  importAll(json: string): Promise<number>;
}

const path = (id: string, ...rest: string[]): string =>
  ['api/conversations', id, ...rest].map((part, i) => (i === 0 ? part : encodeURIComponent(part))).join('/');

export class ServerHistory implements HistoryStore {
  readonly kept = true;
  list(after: string | null): Promise<Listing> {
    return requestJson(`api/conversations${after === null ? '' : `?after=${encodeURIComponent(after)}`}`);
  }
  get(id: string): Promise<Conversation> {
    return requestJson(path(id));
  }
  create(first: ConversationPatch): Promise<Conversation> {
    return requestJson('api/conversations', 'POST', first);
  }
  fork(id: string, messageId: string, title: string): Promise<Conversation> {
    return requestJson('api/conversations', 'POST', { fork_of: id, message_id: messageId, title });
  }
  change(id: string, patch: ConversationPatch): Promise<void> {
    return requestJson(path(id), 'PATCH', patch);
  }
  remove(id: string): Promise<void> {
    return requestJson(path(id), 'DELETE');
  }
  addMessage(id: string, message: NewMessage): Promise<Message> {
    return requestJson(path(id, 'messages'), 'POST', message);
  }
  changeMessage(id: string, messageId: string, patch: MessagePatch, leaving = false): Promise<void> {
    return requestJson(path(id, 'messages', messageId), 'PATCH', patch, { keepalive: leaving });
  }
  async search(query: string, signal?: AbortSignal): Promise<SearchResult[]> {
    const found = await requestJson<{ results: SearchResult[] }>(
      `api/search?q=${encodeURIComponent(query)}`, 'GET', undefined, { signal: signal ?? null });
    return found.results;
  }
  async exportAll(): Promise<Blob> {
    return (await request('api/export')).blob();
  }
  async importAll(json: string): Promise<number> {
    const response = await request('api/import', { method: 'POST', body: json });
    return ((await response.json()) as { imported: number }).imported;
  }
}

export class PageHistory implements HistoryStore {
  readonly kept = false;
  #all = new Map<string, Conversation>();
  #ids = 0;

  async list(): Promise<Listing> {
    const conversations = [...this.#all.values()].sort((a, b) => b.updated_ms - a.updated_ms);
    return { conversations, next: null };
  }
  async get(id: string): Promise<Conversation> {
    return structuredClone(this.#find(id));
  }
  async create(first: ConversationPatch): Promise<Conversation> {
    const now = Date.now();
    const conversation: Conversation = {
      id: this.#newId(), title: '', system_prompt: '', settings: {}, head: null, messages: [],
      created_ms: now, updated_ms: now, ...structuredClone(first),
    };
    this.#all.set(conversation.id, conversation);
    return structuredClone(conversation);
  }
  async fork(id: string, messageId: string, title: string): Promise<Conversation> {
    const from = this.#find(id);
    const { system_prompt, settings } = from;
    const fork = await this.create({ title, system_prompt, settings });
    let parent_id: string | null = null;
    for (const message of pathTo(from.messages, messageId)) {
      parent_id = (await this.addMessage(fork.id, { ...message, parent_id })).id;
    }
    return this.get(fork.id);
  }
  async change(id: string, patch: ConversationPatch): Promise<void> {
    Object.assign(this.#find(id), structuredClone(patch));
  }
  async remove(id: string): Promise<void> {
    this.#all.delete(id);
  }
  async addMessage(id: string, message: NewMessage): Promise<Message> {
    const conversation = this.#find(id);
    const added = { ...structuredClone(message), id: this.#newId(), created_ms: Date.now() };
    conversation.messages.push(added);
    conversation.head = added.id;
    conversation.updated_ms = added.created_ms;
    return structuredClone(added);
  }
  async changeMessage(id: string, messageId: string, patch: MessagePatch): Promise<void> {
    const message = this.#find(id).messages.find((one) => one.id === messageId);
    if (message) Object.assign(message, structuredClone(patch));
  }
  async search(query: string): Promise<SearchResult[]> {
    const wanted = query.toLowerCase();
    const results: SearchResult[] = [];
    for (const { id, title, messages } of this.#all.values()) {
      if (title.toLowerCase().includes(wanted)) {
        results.push({ conversation_id: id, message_id: null, title, snippet: '' });
      }
      for (const message of messages) {
        const at = message.content.toLowerCase().indexOf(wanted);
        if (at < 0) continue;
        const snippet = message.content.slice(Math.max(0, at - 30), at + wanted.length + 60);
        results.push({ conversation_id: id, message_id: message.id, title, snippet });
      }
    }
    return results;
  }
  async exportAll(): Promise<Blob> {
    const content = { format: 'axk1-conversations', version: 1, conversations: [...this.#all.values()] };
    return new Blob([JSON.stringify(content)], { type: 'application/json' });
  }
  async importAll(): Promise<number> {
    throw new ApiError(501, 'this server keeps no conversations');
  }

  #find(id: string): Conversation {
    const conversation = this.#all.get(id);
    if (!conversation) throw new ApiError(404, id);
    return conversation;
  }
  #newId(): string {
    return `page-${++this.#ids}`;
  }
}

// The server's history with its first page, or the page's own when the server has none.
export async function openHistory(): Promise<{ history: HistoryStore; first: Listing }> {
  const history = new ServerHistory();
  try {
    return { history, first: await history.list(null) };
  } catch (error) {
    if (error instanceof ApiError && (error.status === 404 || error.status === 501)) {
      return { history: new PageHistory(), first: { conversations: [], next: null } };
    }
    throw error;
  }
}
