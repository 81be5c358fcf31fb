import assert from 'node:assert/strict';
import {after, before, test} from 'node:test';
import OpenAI from 'openai';
import {zodResponseFormat} from 'openai/helpers/zod';
import {z} from 'zod';
import {checkWeather, eventually, metric, model, start, weather} from './server.mjs';

let server, client;
before(async () => {
  server = await start();
  client = new OpenAI({baseURL: `${server.url}/v1`, apiKey: 'none', maxRetries: 0});
});
after(async () => { assert.equal(await server?.stop(), 0); });

const question = [{role: 'user', content: '대한민국의 수도는 어디야?'}];
const greedy = {model, temperature: 0, max_tokens: 24};
const tools = [{type: 'function',
                function: {name: weather.name, description: weather.description,
                           parameters: weather.schema}}];
const pet = z.object({kind: z.enum(['cat', 'dog']), age: z.number().int().min(0).max(30)});

test('models', async () => {
  const ids = (await client.models.list()).data.map((m) => m.id);
  assert.deepEqual(ids, [model]);
  assert.equal((await client.models.retrieve(model)).id, model);
});

test('chat, whole and streamed, is the same text', async () => {
  const whole = await client.chat.completions.create({...greedy, messages: question});
  const [choice] = whole.choices;
  assert.equal(whole.object, 'chat.completion');
  assert.equal(choice.message.role, 'assistant');
  assert.ok(choice.message.content.length > 0);
  assert.equal(whole.usage.total_tokens,
               whole.usage.prompt_tokens + whole.usage.completion_tokens);

  const stream = await client.chat.completions.create(
      {...greedy, messages: question, stream: true, stream_options: {include_usage: true}});
  let text = '', finish = null, usage = null;
  for await (const chunk of stream) {
    assert.equal(chunk.object, 'chat.completion.chunk');
    for (const {delta, finish_reason} of chunk.choices) {
      text += delta.content ?? '';
      finish ??= finish_reason;
    }
    if (chunk.usage) usage = chunk.usage;
  }
  assert.equal(text, choice.message.content);
  assert.equal(finish, choice.finish_reason);
  assert.equal(usage.completion_tokens, whole.usage.completion_tokens);
  assert.ok(!text.includes('\ufffd'));
});

test('the stream helper puts the message together', async () => {
  const stream = client.chat.completions.stream({...greedy, messages: question});
  const final = await stream.finalChatCompletion();
  const whole = await client.chat.completions.create({...greedy, messages: question});
  assert.equal(final.choices[0].message.content, whole.choices[0].message.content);
});

test('thinking apart from the answer', async () => {
  const whole = await client.chat.completions.create({
    ...greedy, max_tokens: 200, messages: [{role: 'user', content: '12 + 30 = ?'}],
    chat_template_kwargs: {enable_thinking: true},
  });
  const {message} = whole.choices[0];
  assert.ok(message.reasoning_content.length > 0);
  assert.ok(!(message.content ?? '').includes('<think>'));
});

test('n answers, seeds, and log-probabilities whose bytes are the text', async () => {
  const request = {model, messages: question, max_tokens: 12, temperature: 1, seed: 7, n: 3,
                   logprobs: true, top_logprobs: 2};
  const first = await client.chat.completions.create(request);
  const second = await client.chat.completions.create(request);
  assert.equal(first.choices.length, 3);
  for (const [i, choice] of first.choices.entries()) {
    assert.equal(choice.index, i);
    assert.equal(choice.message.content, second.choices[i].message.content);
    assert.ok(choice.logprobs.content.every((t) => t.logprob <= 0 && t.top_logprobs.length === 2));
  }
  const [choice] = first.choices;
  const bytes = choice.logprobs.content.flatMap((t) => t.bytes ?? []);
  assert.ok(new TextDecoder().decode(Uint8Array.from(bytes)).includes(choice.message.content));
});

test('stop texts', async () => {
  const whole = await client.chat.completions.create({...greedy, messages: question});
  const text = whole.choices[0].message.content;
  const stop = [...text].slice(3, 5).join('');
  const cut = await client.chat.completions.create({...greedy, messages: question, stop});
  assert.equal(cut.choices[0].message.content, text.slice(0, text.indexOf(stop)));
  assert.equal(cut.choices[0].finish_reason, 'stop');
});

test('a named tool, its arguments valid, and the loop back', async () => {
  const request = {model, messages: [{role: 'user', content: '서울 날씨 알려 줘'}], tools,
                   max_tokens: 128, temperature: 0};
  const called = await client.chat.completions.create(
      {...request, tool_choice: {type: 'function', function: {name: weather.name}}});
  const [choice] = called.choices;
  assert.equal(choice.finish_reason, 'tool_calls');
  const [call] = choice.message.tool_calls;
  assert.equal(call.function.name, weather.name);
  checkWeather(assert, JSON.parse(call.function.arguments));

  const answered = await client.chat.completions.create({
    ...request, max_tokens: 24,
    messages: [...request.messages, choice.message,
               {role: 'tool', tool_call_id: call.id, content: '맑음, 21도'}],
    tool_choice: 'none',
  });
  assert.ok(answered.choices[0].message.content.length > 0);
  assert.equal(answered.choices[0].message.tool_calls?.length ?? 0, 0);
});

test('streamed tool calls come together', async () => {
  const stream = client.chat.completions.stream(
      {model, messages: question, tools, tool_choice: 'required', max_tokens: 128, temperature: 0,
       parallel_tool_calls: false});
  const final = await stream.finalChatCompletion();
  const [call] = final.choices[0].message.tool_calls;
  checkWeather(assert, JSON.parse(call.function.arguments));
});

test('structured output', async () => {
  const parsed = await client.chat.completions.parse({
    model, messages: question, max_tokens: 64, temperature: 1, seed: 3,
    response_format: zodResponseFormat(pet, 'pet'),
  });
  assert.ok(pet.safeParse(parsed.choices[0].message.parsed).success);
});

test('text completions', async () => {
  const whole = await client.completions.create(
      {model, prompt: '대한민국의 수도는', max_tokens: 8, temperature: 0});
  let text = '';
  for await (const chunk of await client.completions.create(
      {model, prompt: '대한민국의 수도는', max_tokens: 8, temperature: 0, stream: true})) {
    text += chunk.choices[0]?.text ?? '';
  }
  assert.ok(text.length > 0);
  assert.equal(text, whole.choices[0].text);
});

test('responses, whole and streamed', async () => {
  const request = {model, input: '대한민국의 수도는 어디야?', temperature: 0,
                   max_output_tokens: 24};
  const whole = await client.responses.create(request);
  assert.ok(whole.output_text.length > 0);
  let text = '';
  const kinds = [];
  for await (const event of await client.responses.create({...request, stream: true})) {
    kinds.push(event.type);
    if (event.type === 'response.output_text.delta') text += event.delta;
  }
  assert.equal(text, whole.output_text);
  assert.equal(kinds[0], 'response.created');
  assert.ok(['response.completed', 'response.incomplete'].includes(kinds.at(-1)), kinds.at(-1));
});

test('responses with a tool', async () => {
  const whole = await client.responses.create({
    model, input: '서울 날씨', temperature: 0, max_output_tokens: 128,
    tools: [{type: 'function', name: weather.name, parameters: weather.schema, strict: true}],
    tool_choice: {type: 'function', name: weather.name},
  });
  const call = whole.output.find((item) => item.type === 'function_call');
  assert.equal(call.name, weather.name);
  checkWeather(assert, JSON.parse(call.arguments));
});

test('an aborted stream frees its place', async () => {
  const abort = new AbortController();
  const stream = await client.chat.completions.create(
      {model, messages: question, max_tokens: 1500, stream: true, ignore_eos: true},
      {signal: abort.signal});
  let pieces = 0;
  await (async () => {
    for await (const _ of stream) {
      if (++pieces === 3) abort.abort();
    }
  })().catch((error) => { if (error.name !== 'APIUserAbortError') throw error; });
  assert.ok(pieces >= 3);
  await eventually(async () => await metric(server.url, 'vllm:num_requests_running') === 0,
                   'nothing runs after the client left');
});

test('errors are told apart', async () => {
  await assert.rejects(client.chat.completions.create({...greedy, model: 'gpt-4', messages: question}),
                       OpenAI.NotFoundError);
  await assert.rejects(client.chat.completions.create({...greedy, messages: question, temperature: -1}),
                       (error) => error instanceof OpenAI.BadRequestError &&
                                  /temperature/.test(error.message));
  await assert.rejects(client.chat.completions.create({...greedy, messages: []}),
                       OpenAI.BadRequestError);
  await assert.rejects(
      client.chat.completions.create({...greedy, messages: [{role: 'user', content: '가'.repeat(9000)}]}),
      OpenAI.BadRequestError);
});
