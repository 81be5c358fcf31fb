// Requests to the server that the page came from.
import { session, store, stored } from './storage';

export class ApiError extends Error {
  constructor(
    readonly status: number, // 0: no answer at all
    message: string,
    readonly retryAfterSeconds: number | null = null,
  ) {
    super(message);
  }
}

export function apiKey(): string | null {
  return stored('key', session) ?? stored('key');
}

// remember: also when the browser is opened again.
export function setApiKey(key: string | null, remember: boolean): void {
  store('key', remember ? null : key, session);
  store('key', remember ? key : null);
}

async function errorOf(response: Response): Promise<ApiError> {
  let message = response.statusText;
  try {
    const body = (await response.json()) as { error?: { message?: string } | string };
    message = (typeof body.error === 'string' ? body.error : body.error?.message) ?? message;
  } catch {
    // not JSON: the status says it
  }
  const retry = Number(response.headers.get('retry-after'));
  return new ApiError(response.status, message, Number.isFinite(retry) && retry > 0 ? retry : null);
}

// The response, when its status is 2xx; throws ApiError otherwise, and the AbortError of a signal.
export async function request(path: string, options: RequestInit = {}): Promise<Response> {
  const headers = new Headers(options.headers);
  const key = apiKey();
  if (key) headers.set('authorization', `Bearer ${key}`);
  if (options.body !== undefined) headers.set('content-type', 'application/json');
  let response: Response;
  try {
    response = await fetch(path, { ...options, headers, credentials: 'omit', cache: 'no-store' });
  } catch (error) {
    if ((error as Error).name === 'AbortError') throw error;
    throw new ApiError(0, String(error));
  }
  if (!response.ok) throw await errorOf(response);
  return response;
}

export async function requestJson<T>(path: string, method = 'GET', body?: unknown, more: RequestInit = {}): Promise<T> {
  const response = await request(path, {
    ...more,
    method,
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return (response.status === 204 ? undefined : await response.json()) as T;
}

export async function listModels(): Promise<string[]> {
  const { data } = await requestJson<{ data: { id: string }[] }>('v1/models');
  return data.map((model) => model.id);
}
