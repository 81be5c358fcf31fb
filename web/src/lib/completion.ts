// One streamed chat completion (POST /v1/chat/completions).
import { ApiError, request } from './api';
import { withAttachments } from './files';
import { readEvents } from './sse';
import type { Conversation, Message, Settings, Stats } from './types';

interface ApiMessage {
  role: string;
  content: string;
  reasoning_content?: string;
}

export interface CompletionRequest {
  model?: string;
  messages: ApiMessage[];
  [field: string]: unknown;
}

// path: from the root to the last message that the model reads. When that is an answer, the model
// goes on with it.
export function completionRequest(
  conversation: Pick<Conversation, 'system_prompt' | 'settings'>,
  path: readonly Message[],
  model: string,
): CompletionRequest {
  const { thinking, model: chosen, ...sampling } = conversation.settings;
  const messages: ApiMessage[] = [];
  if (conversation.system_prompt.trim() !== '') {
    messages.push({ role: 'system', content: conversation.system_prompt });
  }
  path.forEach((message, index) => {
    const last = index === path.length - 1;
    const one: ApiMessage = {
      role: message.role,
      content: message.role === 'user' ? withAttachments(message.content, message.attachments) : message.content,
    };
    // What was thought belongs to the answer that is being continued, and to no earlier one.
    if (last && message.role === 'assistant' && message.reasoning_content !== '') {
      one.reasoning_content = message.reasoning_content;
    }
    messages.push(one);
  });
  const goesOn = path.at(-1)?.role === 'assistant';
  return {
    ...samplingFields(sampling),
    ...((chosen ?? model) ? { model: chosen ?? model } : {}),
    messages,
    stream: true,
    stream_options: { include_usage: true },
    chat_template_kwargs: { enable_thinking: thinking ?? false },
    ...(goesOn ? { continue_final_message: true, add_generation_prompt: false } : {}),
  };
}

function samplingFields(sampling: Omit<Settings, 'thinking' | 'model'>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(sampling).filter(([, value]) => value !== undefined));
}

// The server closed the stream before the answer was complete.
export class StreamEnded extends Error {}

export interface Piece {
  content: string;
  reasoning: string;
  finish_reason: string | null;
  usage: Stats | null;
}

interface Chunk {
  error?: { message?: string; code?: number | string };
  choices?: {
    delta?: { content?: string | null; reasoning_content?: string | null };
    finish_reason?: string | null;
  }[];
  usage?: {
    prompt_tokens?: number;
    completion_tokens?: number;
    prompt_tokens_details?: { cached_tokens?: number } | null;
  } | null;
}

export function parseChunk(data: string): Piece {
  const chunk = JSON.parse(data) as Chunk;
  if (chunk.error) throw new ApiError(500, chunk.error.message ?? 'error');
  const choice = chunk.choices?.[0];
  return {
    content: choice?.delta?.content ?? '',
    reasoning: choice?.delta?.reasoning_content ?? '',
    finish_reason: choice?.finish_reason ?? null,
    usage: chunk.usage
      ? {
          prompt_tokens: chunk.usage.prompt_tokens,
          completion_tokens: chunk.usage.completion_tokens,
          cached_tokens: chunk.usage.prompt_tokens_details?.cached_tokens ?? 0,
        }
      : null,
  };
}

// The pieces of the answer. Throws ApiError when the server refuses, StreamEnded when the answer breaks
// off, and an AbortError when the signal fires.
export async function* streamCompletion(body: CompletionRequest, signal: AbortSignal): AsyncGenerator<Piece> {
  const response = await request('v1/chat/completions', {
    method: 'POST',
    body: JSON.stringify(body),
    signal,
    headers: { accept: 'text/event-stream' },
  });
  if (!response.body) throw new ApiError(0, 'the answer has no body');
  let finished = false;
  try {
    for await (const data of readEvents(response.body)) {
      if (data === '[DONE]') return;
      const piece = parseChunk(data);
      finished ||= piece.finish_reason !== null;
      yield piece;
    }
  } catch (error) {
    if (error instanceof ApiError || (error as Error).name === 'AbortError') throw error;
    throw new StreamEnded(String(error));
  }
  if (!finished) throw new StreamEnded();
}
