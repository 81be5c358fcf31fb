// The state of the page and what can be done to it. Components show it and call its methods.
import { tick } from 'svelte';
import { ApiError, apiKey, listModels, setApiKey } from './api';
import { completionRequest, StreamEnded, streamCompletion } from './completion';
import { openHistory, type HistoryStore } from './history';
import { t } from './i18n.svelte';
import { store, stored } from './storage';
import { newestLeaf, pathTo } from './tree';
import type {
  Attachment, Conversation, ConversationSummary, Message, SearchResult, Settings, Stats,
} from './types';

// Pieces of an answer reach the screen this often, and its history this often.
const kScreenMs = 40;
const kKeepMs = 2000;
const kTitleChars = 60;
const kAnnouncements = 8;

interface Run {
  messageId: string;
  controller: AbortController;
}

export type Panel = 'none' | 'settings' | 'shortcuts' | 'key';

export class App {
  ready = $state(false);
  offline = $state(false);
  kept = $state(true);
  models = $state<string[]>([]);
  conversations = $state<ConversationSummary[]>([]);
  more = $state<string | null>(null); // the rest of the list
  active = $state<Conversation | null>(null); // null: a new one, not yet kept
  draftSettings = $state<Settings>({}); // of the new one
  draftSystemPrompt = $state('');
  runs = $state<Record<string, Run>>({}); // by conversation
  problems = $state<Record<string, string>>({}); // by message: why its answer failed
  notice = $state<string | null>(null); // a short word, also read out
  announcements = $state<{ id: number; text: string }[]>([]); // read out only, the latest last
  panel = $state<Panel>('none');
  keyRefused = $state(false);
  search = $state('');
  results = $state<SearchResult[] | null>(null);

  #history: HistoryStore | null = null;
  #loaded = new Map<string, Conversation>(); // conversations whose answers are being written
  #afterKey: (() => void) | null = null;
  #searching: AbortController | null = null;

  readonly path = $derived(this.active ? pathTo(this.active.messages, this.active.head) : []);
  readonly run = $derived(this.active ? this.runs[this.active.id] : undefined);
  readonly model = $derived(this.settings.model ?? this.models[0] ?? '');

  get settings(): Settings {
    return this.active ? this.active.settings : this.draftSettings;
  }
  get systemPrompt(): string {
    return this.active ? this.active.system_prompt : this.draftSystemPrompt;
  }

  async start(): Promise<void> {
    try {
      const [{ history, first }, models] = await Promise.all([openHistory(), listModels()]);
      this.#history = history;
      this.kept = history.kept;
      this.conversations = first.conversations;
      this.more = first.next;
      this.models = models;
      this.offline = false;
      this.ready = true;
      await this.followAddress();
    } catch (error) {
      this.#trouble(error, () => void this.start());
      if (error instanceof ApiError && error.status !== 401) this.offline = true;
    }
  }

  // Shows what the address names: #/c/ID.
  async followAddress(): Promise<void> {
    const id = /^#\/c\/([^/]+)$/.exec(location.hash)?.[1];
    if (id === undefined) this.#show(null);
    else if (decodeURIComponent(id) !== this.active?.id) await this.open(decodeURIComponent(id));
  }

  newChat(): void {
    this.draftSettings = {};
    this.draftSystemPrompt = '';
    this.#show(null);
  }

  async open(id: string, messageId: string | null = null): Promise<void> {
    try {
      const conversation = this.#loaded.get(id) ?? (await this.#store().get(id));
      this.#show(conversation);
      if (messageId !== null && this.active) await this.showBranch(messageId);
    } catch (error) {
      if (error instanceof ApiError && error.status === 404) {
        this.#show(null);
        this.say(t('errorNotFound'));
      } else {
        this.#trouble(error, () => void this.open(id, messageId));
      }
    }
  }

  #show(conversation: Conversation | null): void {
    this.active = conversation;
    // Reactive from here on: answers that are being written are written into this very object.
    if (this.active) this.#loaded.set(this.active.id, this.active);
    for (const id of this.#loaded.keys()) {
      if (id !== this.active?.id && !this.runs[id]) this.#loaded.delete(id);
    }
    const hash = conversation ? `#/c/${encodeURIComponent(conversation.id)}` : '';
    if (location.hash !== hash && !(hash === '' && location.hash === '#')) {
      window.history.pushState(null, '', hash === '' ? location.pathname + location.search : hash);
    }
  }

  async loadMore(): Promise<void> {
    if (this.more === null) return;
    await this.#attempt(async () => {
      const { conversations, next } = await this.#store().list(this.more);
      const known = new Set(this.conversations.map(({ id }) => id));
      this.conversations.push(...conversations.filter(({ id }) => !known.has(id)));
      this.more = next;
    });
  }

  async find(query: string): Promise<void> {
    this.search = query;
    this.#searching?.abort();
    if (query.trim() === '') {
      this.results = null;
      return;
    }
    const searching = (this.#searching = new AbortController());
    try {
      const results = await this.#store().search(query.trim(), searching.signal);
      if (searching.signal.aborted) return;
      this.results = results;
      this.announce(results.length > 0 ? t('searchCount', { count: results.length }) : t('searchNone'));
    } catch (error) {
      if ((error as Error).name !== 'AbortError') this.#trouble(error, () => void this.find(query));
    }
  }

  // False when the message could not be kept; the text then stays with the caller.
  async send(text: string, attachments: Attachment[]): Promise<boolean> {
    if (this.run || !this.ready || (text.trim() === '' && attachments.length === 0)) return false;
    return this.#attempt(async () => {
      const conversation = this.active ?? (await this.#begin(text, attachments));
      await this.#ask(conversation, conversation.head, text, attachments);
    });
  }

  // The edited message becomes a branch beside the old one.
  async edit(message: Message, text: string): Promise<boolean> {
    const conversation = this.active;
    if (!conversation || this.run) return false;
    return this.#attempt(() => this.#ask(conversation, message.parent_id, text, $state.snapshot(message.attachments)));
  }

  async regenerate(message: Message): Promise<void> {
    const conversation = this.active;
    if (!conversation || this.run) return;
    await this.#attempt(() => this.#answer(conversation, message.parent_id));
  }

  async continueAnswer(message: Message): Promise<void> {
    const conversation = this.active;
    if (!conversation || this.run) return;
    await this.#attempt(async () => {
      delete this.problems[message.id];
      await this.#write(conversation, message, pathTo(conversation.messages, message.id));
    });
  }

  stop(): void {
    this.run?.controller.abort();
  }

  async showBranch(id: string): Promise<void> {
    const conversation = this.active;
    if (!conversation || this.run) return;
    conversation.head = newestLeaf(conversation.messages, id);
    await this.#attempt(() => this.#store().change(conversation.id, { head: conversation.head }));
  }

  async fork(message: Message): Promise<void> {
    const conversation = this.active;
    if (!conversation) return;
    await this.#attempt(async () => {
      const title = t('forkTitle', { title: conversation.title || t('untitled') });
      const fork = await this.#store().fork(conversation.id, message.id, title);
      this.#list(fork);
      this.#show(fork);
      this.say(t('forked'));
    });
  }

  async rename(id: string, title: string): Promise<void> {
    await this.#attempt(async () => {
      await this.#store().change(id, { title });
      for (const one of [this.active, ...this.conversations]) if (one?.id === id) one.title = title;
    });
  }

  async remove(id: string): Promise<void> {
    this.runs[id]?.controller.abort();
    await this.#attempt(async () => {
      await this.#store().remove(id);
      this.conversations = this.conversations.filter((one) => one.id !== id);
      this.results = this.results?.filter((one) => one.conversation_id !== id) ?? null;
      this.#loaded.delete(id);
      if (this.active?.id === id) this.newChat();
      this.say(t('deleted'));
    });
  }

  async changeSettings(settings: Settings): Promise<void> {
    const conversation = this.active;
    if (!conversation) {
      this.draftSettings = settings;
      return;
    }
    conversation.settings = settings;
    await this.#attempt(() => this.#store().change(conversation.id, { settings }));
  }

  async changeSystemPrompt(system_prompt: string): Promise<void> {
    const conversation = this.active;
    if (!conversation) {
      this.draftSystemPrompt = system_prompt;
      return;
    }
    conversation.system_prompt = system_prompt;
    await this.#attempt(() => this.#store().change(conversation.id, { system_prompt }));
  }

  async exportAll(): Promise<Blob | null> {
    let content: Blob | null = null;
    await this.#attempt(async () => {
      content = await this.#store().exportAll();
    });
    return content;
  }

  async importAll(json: string): Promise<void> {
    await this.#attempt(async () => {
      const count = await this.#store().importAll(json);
      const { conversations, next } = await this.#store().list(null);
      this.conversations = conversations;
      this.more = next;
      this.say(t('imported', { count }));
    });
  }

  giveKey(key: string, remember: boolean): void {
    setApiKey(key.trim(), remember);
    this.panel = 'none';
    const again = this.#afterKey;
    this.#afterKey = null;
    again?.();
  }

  forgetKey(): void {
    setApiKey(null, false);
    this.say(t('apiKeyForgotten'));
  }

  say(text: string): void {
    this.notice = text;
  }

  // Read out by screen readers, after what they are reading.
  announce(text: string): void {
    const id = (this.announcements.at(-1)?.id ?? 0) + 1;
    this.announcements = [...this.announcements.slice(1 - kAnnouncements), { id, text }];
  }

  // The page is being closed: what has been written so far is kept, if it can be.
  leave(): void {
    for (const [id, run] of Object.entries(this.runs)) {
      const message = this.#loaded.get(id)?.messages.find((one) => one.id === run.messageId);
      if (!message || !this.#history) continue;
      const { content, reasoning_content } = message;
      const patch = { content, reasoning_content, finish_reason: '' };
      void this.#history.changeMessage(id, message.id, patch, true).catch(() => {});
    }
  }

  async #begin(text: string, attachments: readonly Attachment[]): Promise<Conversation> {
    const line = text.trim().split('\n')[0] || attachments[0]?.name || '';
    const characters = [...line];
    const title = characters.length > kTitleChars ? characters.slice(0, kTitleChars - 1).join('') + '…' : line;
    const created = await this.#store().create({
      title,
      system_prompt: this.draftSystemPrompt,
      settings: $state.snapshot(this.draftSettings),
    });
    this.#list(created);
    this.#show(created);
    return this.active as Conversation;
  }

  async #ask(conversation: Conversation, parent_id: string | null, content: string, attachments: Attachment[]): Promise<void> {
    const added = await this.#store().addMessage(conversation.id, {
      parent_id, role: 'user', content, attachments, reasoning_content: '', model: '', finish_reason: 'stop', stats: null,
    });
    conversation.messages.push(added);
    conversation.head = added.id;
    this.#list(conversation);
    await this.#answer(conversation, added.id);
  }

  async #answer(conversation: Conversation, parent_id: string | null): Promise<void> {
    const added = await this.#store().addMessage(conversation.id, {
      parent_id, role: 'assistant', content: '', attachments: [], reasoning_content: '', model: this.model,
      finish_reason: '', stats: null,
    });
    conversation.messages.push(added);
    conversation.head = added.id;
    // The array's own, reactive object, not the one that was put in.
    const message = conversation.messages[conversation.messages.length - 1];
    // Not awaited: the text has left the field, and the answer is the list's business.
    void this.#write(conversation, message, pathTo(conversation.messages, parent_id));
  }

  async #write(conversation: Conversation, message: Message, path: Message[]): Promise<void> {
    const controller = new AbortController();
    this.runs[conversation.id] = { messageId: message.id, controller };
    const request = completionRequest($state.snapshot(conversation), $state.snapshot(path), this.model);
    const history = this.#store();
    message.finish_reason = '';
    this.announce(t('answering'));

    let content = '';
    let reasoning = '';
    const show = (): void => {
      message.content += content;
      message.reasoning_content += reasoning;
      content = reasoning = '';
    };
    const screen = setInterval(show, kScreenMs);
    const keepNow = (): void => {
      const { content: so_far, reasoning_content } = message;
      const patch = { content: so_far, reasoning_content, finish_reason: '' };
      history.changeMessage(conversation.id, message.id, patch).catch(() => {});
    };
    if (message.content !== '' || message.reasoning_content !== '') keepNow(); // it is being continued
    const keep = setInterval(keepNow, kKeepMs);

    const started = performance.now();
    let first = 0;
    let last = 0;
    let usage: Stats | null = null;
    let finish = 'error';
    let outcome = '';
    try {
      for await (const piece of streamCompletion(request, controller.signal)) {
        if (piece.content !== '' || piece.reasoning !== '') {
          last = performance.now();
          first ||= last;
        }
        content += piece.content;
        reasoning += piece.reasoning;
        usage = piece.usage ?? usage;
        if (piece.finish_reason !== null) finish = piece.finish_reason;
      }
      outcome = t('answerDone');
    } catch (error) {
      if ((error as Error).name === 'AbortError') {
        finish = 'stopped';
        outcome = t('answerStopped');
      } else {
        this.problems[message.id] = this.#words(error);
        outcome = `${t('answerFailed')} ${this.problems[message.id]}`;
        if (error instanceof ApiError && error.status === 401) {
          this.#askForKey(() => void this.#write(conversation, message, path));
        }
      }
    }
    clearInterval(screen);
    clearInterval(keep);
    show();
    message.finish_reason = finish;
    message.stats = first > 0 ? { ...usage, first_token_ms: Math.round(first - started), decode_ms: Math.round(last - first) } : usage;
    delete this.runs[conversation.id];
    await tick(); // the last paragraph is announced first
    this.announce(outcome);
    const { content: whole, reasoning_content, finish_reason, stats } = $state.snapshot(message);
    await this.#attempt(() =>
      history.changeMessage(conversation.id, message.id, { content: whole, reasoning_content, finish_reason, stats }));
  }

  // Puts a conversation that has just changed at the top of the list.
  #list({ id, title, created_ms }: ConversationSummary): void {
    const rest = this.conversations.filter((one) => one.id !== id);
    this.conversations = [{ id, title, created_ms, updated_ms: Date.now() }, ...rest];
  }

  #store(): HistoryStore {
    if (!this.#history) throw new ApiError(0, 'not connected');
    return this.#history;
  }

  async #attempt(action: () => Promise<void>): Promise<boolean> {
    try {
      await action();
      return true;
    } catch (error) {
      this.#trouble(error, null);
      return false;
    }
  }

  #trouble(error: unknown, again: (() => void) | null): void {
    if (error instanceof ApiError && error.status === 401) this.#askForKey(again);
    else this.say(this.#words(error));
  }

  #askForKey(again: (() => void) | null): void {
    this.keyRefused = apiKey() !== null;
    this.#afterKey = again;
    this.panel = 'key';
  }

  #words(error: unknown): string {
    if (error instanceof StreamEnded) return t('errorStream');
    if (!(error instanceof ApiError)) return String(error);
    const { status, message, retryAfterSeconds } = error;
    if (status === 0) return this.ready ? t('errorNetwork') : t('offline');
    if (status === 429 || status === 503) return t('errorBusy', { seconds: Math.ceil(retryAfterSeconds ?? 5) });
    return t('errorServer', { status, message });
  }
}

export const app = new App();

// Light, dark, or what the system says.
export type Theme = 'auto' | 'light' | 'dark';

export function theme(): Theme {
  const kept = stored('theme');
  return kept === 'light' || kept === 'dark' ? kept : 'auto';
}

export function setTheme(next: Theme): void {
  store('theme', next === 'auto' ? null : next);
  applyTheme();
}

export function applyTheme(): void {
  const chosen = theme();
  const dark = chosen === 'dark' || (chosen === 'auto' && matchMedia('(prefers-color-scheme: dark)').matches);
  document.documentElement.dataset.theme = dark ? 'dark' : 'light';
}
