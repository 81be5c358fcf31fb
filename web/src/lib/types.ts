// What the history API and the page exchange. Field names are those of the JSON.

export type Role = 'user' | 'assistant';

export interface Attachment {
  name: string;
  text: string;
}

export interface Stats {
  prompt_tokens?: number;
  cached_tokens?: number;
  completion_tokens?: number;
  first_token_ms?: number; // from the request to the first piece of the answer
  decode_ms?: number; // from the first piece to the last
}

// '' while the answer is being written (or was, when the page was closed).
export type FinishReason = '' | 'stop' | 'length' | 'stopped' | 'error' | (string & {});

export interface Message {
  id: string;
  parent_id: string | null;
  role: Role;
  content: string;
  reasoning_content: string;
  attachments: Attachment[];
  model: string;
  finish_reason: FinishReason;
  created_ms: number;
  stats: Stats | null;
}

export type NewMessage = Omit<Message, 'id' | 'created_ms'>;

export interface Settings {
  thinking?: boolean;
  model?: string;
  temperature?: number;
  top_p?: number;
  top_k?: number;
  min_p?: number;
  max_tokens?: number;
  repetition_penalty?: number;
  presence_penalty?: number;
  frequency_penalty?: number;
  seed?: number;
  stop?: string[];
}

export interface ConversationSummary {
  id: string;
  title: string;
  created_ms: number;
  updated_ms: number;
}

export interface Conversation extends ConversationSummary {
  system_prompt: string;
  settings: Settings;
  head: string | null; // the last message of the branch that is shown
  messages: Message[]; // a tree by parent_id, in the order of their creation
}

export interface SearchResult {
  conversation_id: string;
  message_id: string | null; // null: the title
  title: string;
  snippet: string;
}
